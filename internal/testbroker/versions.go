package testbroker

import (
	"maps"

	"github.com/gosamsa/samsa/protocol"
)

// ranges is shorthand for the tables below.
func ranges(produce, metadata, apiVersions, initProducerID int16) map[protocol.APIKey]protocol.VersionRange {
	return map[protocol.APIKey]protocol.VersionRange{
		protocol.Produce:        {Min: 0, Max: produce},
		protocol.Metadata:       {Min: 0, Max: metadata},
		protocol.ApiVersions:    {Min: 0, Max: apiVersions},
		protocol.InitProducerID: {Min: 0, Max: initProducerID},
	}
}

// kafkas are the ranges advertised by releases of Kafka. All advertise Produce from 0 on; since 4.0 it is not true
// (KAFKA-18659).
var kafkas = map[string]map[protocol.APIKey]protocol.VersionRange{
	"0.9":  ranges(1, 0, -1, -1),
	"0.10": ranges(2, 2, 0, -1),
	"0.11": ranges(3, 4, 1, 0),
	"1.0":  ranges(5, 5, 1, 0),
	"2.1":  ranges(7, 7, 2, 1),
	"2.4":  ranges(8, 9, 3, 2),
	"2.8":  ranges(9, 11, 3, 4),
	"3.3":  ranges(9, 12, 3, 4),
	"3.7":  ranges(10, 12, 3, 4),
	"3.9":  ranges(11, 12, 4, 5),
	"4.0":  ranges(12, 13, 4, 5),
	"4.3":  ranges(13, 13, 4, 5),
}

// KafkaVersions returns the versions of a release of Kafka, for Config.Versions: "0.9", "0.10", "0.11", "1.0", "2.1",
// "2.4", "2.8", "3.3", "3.7", "3.9", "4.0" or "4.3". It panics for another.
func KafkaVersions(release string) map[protocol.APIKey]protocol.VersionRange {
	v, ok := kafkas[release]
	if !ok {
		panic("testbroker: no versions of Kafka " + release)
	}
	return maps.Clone(v)
}

// withVersions returns Kafka 4.3's ranges with the given ones in their place.
func withVersions(changed map[protocol.APIKey]protocol.VersionRange) map[protocol.APIKey]protocol.VersionRange {
	v := KafkaVersions("4.3")
	maps.Copy(v, changed)
	return v
}
