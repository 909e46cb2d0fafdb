package protocol_test

import (
	"encoding/binary"
	"fmt"

	"github.com/gosamsa/samsa/protocol"
)

// A client asks for the metadata of one topic, and a broker in the same program answers.
func Example() {
	version, err := protocol.NegotiateVersion(protocol.Metadata, protocol.VersionRange{Min: 0, Max: 12})
	if err != nil {
		fmt.Println(err)
		return
	}
	topic := "orders"
	request := protocol.MetadataRequest{
		Topics:                 []protocol.MetadataRequestTopic{{Name: &topic}},
		AllowAutoTopicCreation: true,
	}
	frame := protocol.AppendRequestHeader(make([]byte, 4), protocol.Metadata, version, 1, "my-client")
	if frame, err = request.Append(frame, version); err != nil {
		fmt.Println(err)
		return
	}
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	fmt.Println("sent", len(frame), "bytes of version", version)

	answer := protocol.AppendResponseHeader(nil, protocol.Metadata, version, 1)
	answer, err = (&protocol.MetadataResponse{Topics: []protocol.MetadataTopic{
		{Name: &topic, ErrorCode: protocol.UnknownTopicOrPartition},
	}}).Append(answer, version)
	if err != nil {
		fmt.Println(err)
		return
	}

	_, body, err := protocol.DecodeResponseHeader(answer, protocol.Metadata, version)
	if err != nil {
		fmt.Println(err)
		return
	}
	var response protocol.MetadataResponse
	if err := response.Decode(body, version); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(&protocol.Error{Code: response.Topics[0].ErrorCode})
	// Output:
	// sent 52 bytes of version 12
	// UNKNOWN_TOPIC_OR_PARTITION (3): the broker does not know this topic or partition; create the topic, or let the brokers create it (auto.create.topics.enable)
}
