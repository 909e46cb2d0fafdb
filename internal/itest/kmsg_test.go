package itest

import (
	"fmt"

	"github.com/gosamsa/samsa/protocol"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// theirs is the common part of kmsg's requests and responses.
type theirs interface {
	Key() int16
	MaxVersion() int16
	SetVersion(int16)
	AppendTo([]byte) []byte
	ReadFrom([]byte) error
}

// ours is the common part of this module's requests and responses.
type ours interface {
	Key() protocol.APIKey
	Append([]byte, int16) ([]byte, error)
	Decode([]byte, int16) error
}

// toKmsg writes one of our messages as kmsg's, field by field: its pairs of fields reveal two fields exchanged in both
// of our directions.
func toKmsg(m ours) theirs {
	switch m := m.(type) {
	case *protocol.ProduceRequest:
		return kmsgProduceRequest(m)
	case *protocol.ProduceResponse:
		return kmsgProduceResponse(m)
	case *protocol.MetadataRequest:
		return kmsgMetadataRequest(m)
	case *protocol.MetadataResponse:
		return kmsgMetadataResponse(m)
	case *protocol.ApiVersionsRequest:
		return &kmsg.ApiVersionsRequest{ClientSoftwareName: m.SoftwareName, ClientSoftwareVersion: m.SoftwareVersion}
	case *protocol.ApiVersionsResponse:
		return kmsgApiVersionsResponse(m)
	case *protocol.InitProducerIDRequest:
		return &kmsg.InitProducerIDRequest{TransactionalID: m.TransactionalID,
			TransactionTimeoutMillis: m.TransactionTimeoutMs,
			ProducerID:               m.ProducerID, ProducerEpoch: m.ProducerEpoch}
	case *protocol.InitProducerIDResponse:
		return &kmsg.InitProducerIDResponse{ThrottleMillis: m.ThrottleMs, ErrorCode: int16(m.ErrorCode),
			ProducerID: m.ProducerID, ProducerEpoch: m.ProducerEpoch}
	}
	panic(fmt.Sprintf("no kmsg for %T", m))
}

func kmsgProduceRequest(m *protocol.ProduceRequest) *kmsg.ProduceRequest {
	return &kmsg.ProduceRequest{
		TransactionID: m.TransactionalID, Acks: m.Acks, TimeoutMillis: m.TimeoutMs,
		Topics: each(m.Topics, func(t protocol.ProduceTopic) kmsg.ProduceRequestTopic {
			return kmsg.ProduceRequestTopic{
				Topic: t.Name, TopicID: t.ID,
				Partitions: each(t.Partitions, func(p protocol.ProducePartition) kmsg.ProduceRequestTopicPartition {
					return kmsg.ProduceRequestTopicPartition{Partition: p.Index, Records: p.Records}
				}),
			}
		}),
	}
}

func kmsgProduceResponse(m *protocol.ProduceResponse) *kmsg.ProduceResponse {
	return &kmsg.ProduceResponse{
		ThrottleMillis: m.ThrottleMs,
		Topics: each(m.Topics, func(t protocol.ProduceTopicResponse) kmsg.ProduceResponseTopic {
			return kmsg.ProduceResponseTopic{Topic: t.Name, TopicID: t.ID,
				Partitions: each(t.Partitions, kmsgProducePartitionResponse)}
		}),
		Brokers: each(m.NodeEndpoints, func(n protocol.NodeEndpoint) kmsg.ProduceResponseBroker {
			return kmsg.ProduceResponseBroker{NodeID: n.NodeID, Host: n.Host, Port: n.Port, Rack: n.Rack}
		}),
	}
}

func kmsgProducePartitionResponse(p protocol.ProducePartitionResponse) kmsg.ProduceResponseTopicPartition {
	k := kmsg.NewProduceResponseTopicPartition()
	k.Partition, k.ErrorCode, k.BaseOffset = p.Index, int16(p.ErrorCode), p.BaseOffset
	k.LogAppendTime, k.LogStartOffset, k.ErrorMessage = p.LogAppendTimeMs, p.LogStartOffset, p.ErrorMessage
	k.ErrorRecords = each(p.RecordErrors, func(e protocol.RecordError) kmsg.ProduceResponseTopicPartitionErrorRecord {
		return kmsg.ProduceResponseTopicPartitionErrorRecord{RelativeOffset: e.BatchIndex, ErrorMessage: e.Message}
	})
	if p.CurrentLeader != nil {
		k.CurrentLeader.LeaderID, k.CurrentLeader.LeaderEpoch = p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch
	}
	return k
}

func kmsgMetadataRequest(m *protocol.MetadataRequest) *kmsg.MetadataRequest {
	return &kmsg.MetadataRequest{
		Topics: each(m.Topics, func(t protocol.MetadataRequestTopic) kmsg.MetadataRequestTopic {
			return kmsg.MetadataRequestTopic{TopicID: t.ID, Topic: t.Name}
		}),
		AllowAutoTopicCreation:             m.AllowAutoTopicCreation,
		IncludeClusterAuthorizedOperations: m.IncludeClusterAuthorizedOperations,
		IncludeTopicAuthorizedOperations:   m.IncludeTopicAuthorizedOperations,
	}
}

func kmsgMetadataResponse(m *protocol.MetadataResponse) *kmsg.MetadataResponse {
	return &kmsg.MetadataResponse{
		ThrottleMillis: m.ThrottleMs, ClusterID: m.ClusterID, ControllerID: m.ControllerID,
		AuthorizedOperations: m.ClusterAuthorizedOperations, ErrorCode: int16(m.ErrorCode),
		Brokers: each(m.Brokers, func(b protocol.MetadataBroker) kmsg.MetadataResponseBroker {
			return kmsg.MetadataResponseBroker{NodeID: b.NodeID, Host: b.Host, Port: b.Port, Rack: b.Rack}
		}),
		Topics: each(m.Topics, func(t protocol.MetadataTopic) kmsg.MetadataResponseTopic {
			return kmsg.MetadataResponseTopic{
				ErrorCode: int16(t.ErrorCode), Topic: t.Name, TopicID: t.ID, IsInternal: t.IsInternal,
				AuthorizedOperations: t.AuthorizedOperations,
				Partitions: each(t.Partitions, func(p protocol.MetadataPartition) kmsg.MetadataResponseTopicPartition {
					return kmsg.MetadataResponseTopicPartition{ErrorCode: int16(p.ErrorCode), Partition: p.Index,
						Leader:      p.LeaderID,
						LeaderEpoch: p.LeaderEpoch, Replicas: p.Replicas, ISR: p.ISR, OfflineReplicas: p.Offline}
				}),
			}
		}),
	}
}

func kmsgApiVersionsResponse(m *protocol.ApiVersionsResponse) *kmsg.ApiVersionsResponse {
	return &kmsg.ApiVersionsResponse{
		ErrorCode: int16(m.ErrorCode), ThrottleMillis: m.ThrottleMs,
		FinalizedFeaturesEpoch: m.FinalizedFeaturesEpoch, ZkMigrationReady: m.ZkMigrationReady,
		ApiKeys: each(m.APIs, func(a protocol.APIVersion) kmsg.ApiVersionsResponseApiKey {
			return kmsg.ApiVersionsResponseApiKey{ApiKey: int16(a.Key), MinVersion: a.Min, MaxVersion: a.Max}
		}),
		SupportedFeatures: each(m.SupportedFeatures,
			func(f protocol.SupportedFeature) kmsg.ApiVersionsResponseSupportedFeature {
				return kmsg.ApiVersionsResponseSupportedFeature{Name: f.Name, MinVersion: f.Min, MaxVersion: f.Max}
			}),
		FinalizedFeatures: each(m.FinalizedFeatures,
			func(f protocol.FinalizedFeature) kmsg.ApiVersionsResponseFinalizedFeature {
				return kmsg.ApiVersionsResponseFinalizedFeature{Name: f.Name, MaxVersionLevel: f.Max,
					MinVersionLevel: f.Min}
			}),
	}
}

// each converts a slice; nil stays nil.
func each[A, B any](in []A, convert func(A) B) []B {
	if in == nil {
		return nil
	}
	out := make([]B, 0, len(in))
	for _, a := range in {
		out = append(out, convert(a))
	}
	return out
}
