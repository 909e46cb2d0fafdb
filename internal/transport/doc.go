// Package transport carries requests to one broker and answers back: dialling, the first exchange, framing, pipelining,
// and bounds in time and size against the harm of a dead, hanging or hostile broker.
//
// Packages cluster and sender choose the broker, retry, and interpret the answers. Authentication would belong between
// the open stream and the first exchange.
//
//	conn, err := transport.Dial(ctx, &transport.Options{ClientID: "orders", RequestTimeout: 30 * time.Second}, "broker-1:9092")
//	if err != nil {
//		return err // says what was found there instead of a broker
//	}
//	defer conn.Close(nil)
//	var resp protocol.MetadataResponse
//	err = conn.Do(ctx, &protocol.MetadataRequest{AllowAutoTopicCreation: true}, &resp)
//
// A connection has one goroutine, for reads. Send writes on its caller's goroutine, without waiting for earlier
// answers. Do, for rare requests, writes on a goroutine of its own. A connection has no timer for calls: the read
// deadline limits every call and the idle time.
package transport
