// Package protocol writes and reads the four Kafka requests that a producer needs: ApiVersions, Metadata, Produce and
// InitProducerId, each in every version from the oldest that modern brokers still take to the newest, and knows what
// Kafka's error codes mean.
//
// Every message goes both ways: a client appends requests and decodes responses, a broker written for tests does the
// opposite. All codecs are written by hand, one file an API, and follow Kafka's own schemas field by field. What arrives
// is not trusted: a length or count is checked against the bytes that remain before anything is allocated for it, and
// tagged fields that are not known are skipped.
//
// The package opens no connection, keeps no time and decides no policy. It does not look into record batches: to it they
// are bytes, which package record writes and reads.
//
// A request to a broker that speaks Metadata up to version 12:
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
