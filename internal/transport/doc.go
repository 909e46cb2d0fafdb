// Package transport carries requests to one broker and answers back: dialling, the first exchange, framing, pipelining,
// and bounds in time and size against the harm of a dead, hanging or hostile broker.
//
// The choice of the broker, retries, and the meaning of a request are the business of packages cluster and sender. An
// authenticator would sit between the open stream and the first exchange.
//
//	conn, err := transport.Dial(ctx, &transport.Options{ClientID: "orders", RequestTimeout: 30 * time.Second}, "broker-1:9092")
//	if err != nil {
//		return err // says what was found there instead of a broker
//	}
//	defer conn.Close(nil)
//	var resp protocol.MetadataResponse
//	err = conn.Do(ctx, &protocol.MetadataRequest{AllowAutoTopicCreation: true}, &resp)
//
// A connection has one goroutine, for reads. Send writes on its caller's goroutine, and while answers are awaited the
// next Send may go. Do, for the rare requests, writes on a goroutine of its own. Nor is there a timer: the read
// deadline watches over every call and over idleness.
package transport
