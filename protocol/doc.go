// Package protocol writes and reads the four Kafka requests of a producer: ApiVersions, Metadata, Produce and
// InitProducerId. It supports every version, from the oldest accepted by modern brokers to the newest, and knows the
// meaning of Kafka's error codes.
//
// Every message goes both ways: a client appends requests and decodes responses, a broker written for tests does the
// opposite. All codecs are written by hand, one file an API, and follow Kafka's own schemas field by field. Decoders do
// not trust their input: they check a length or count against the remaining bytes before they allocate memory for it,
// and skip unknown tagged fields.
//
// The package opens no connection, keeps no time and decides no policy. It does not look into record batches: to it
// they are bytes; package record writes and reads them.
//
// A request to a broker with Metadata up to version 12:
//
//	version, err := protocol.Negotiate(protocol.Metadata, protocol.VersionRange{Min: 0, Max: 12})
//	if err != nil {
//		return err
//	}
//	frame := protocol.AppendRequestHeader(make([]byte, 4), protocol.Metadata, version, 1, "my-client")
//	request := protocol.MetadataRequest{AllowAutoTopicCreation: true}
//	frame, err = request.Append(frame, version)
//	if err != nil {
//		return err
//	}
//	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
package protocol
