package testbroker

import "github.com/gosamsa/samsa/protocol"

// controllerRanges are the versions advertised by the controller listener of a Kafka 4.3.1 node, in the order of the
// API keys.
var controllerRanges = []protocol.APIVersion{
	{Key: 1, Min: 4, Max: 18}, {Key: 17, Min: 0, Max: 1}, {Key: 18, Min: 0, Max: 4}, {Key: 19, Min: 2, Max: 7},
	{Key: 20, Min: 1, Max: 6},
	{Key: 29, Min: 1, Max: 3}, {Key: 30, Min: 1, Max: 3}, {Key: 31, Min: 1, Max: 3}, {Key: 32, Min: 1, Max: 4},
	{Key: 33, Min: 0, Max: 2},
	{Key: 36, Min: 0, Max: 2}, {Key: 37, Min: 0, Max: 3}, {Key: 38, Min: 1, Max: 3}, {Key: 39, Min: 1, Max: 2},
	{Key: 40, Min: 1, Max: 2},
	{Key: 41, Min: 1, Max: 3}, {Key: 43, Min: 0, Max: 2}, {Key: 44, Min: 0, Max: 1}, {Key: 45, Min: 0, Max: 1},
	{Key: 46, Min: 0, Max: 0},
	{Key: 49, Min: 0, Max: 1}, {Key: 50, Min: 0, Max: 0}, {Key: 51, Min: 0, Max: 0}, {Key: 52, Min: 0, Max: 2},
	{Key: 53, Min: 0, Max: 1},
	{Key: 54, Min: 0, Max: 1}, {Key: 55, Min: 0, Max: 2}, {Key: 56, Min: 2, Max: 3}, {Key: 57, Min: 0, Max: 2},
	{Key: 58, Min: 0, Max: 0},
	{Key: 59, Min: 0, Max: 1}, {Key: 60, Min: 0, Max: 2}, {Key: 62, Min: 0, Max: 4}, {Key: 63, Min: 0, Max: 2},
	{Key: 64, Min: 0, Max: 0},
	{Key: 67, Min: 0, Max: 0}, {Key: 70, Min: 0, Max: 0}, {Key: 73, Min: 0, Max: 0}, {Key: 80, Min: 0, Max: 1},
	{Key: 81, Min: 0, Max: 0},
	{Key: 82, Min: 0, Max: 0},
}

// ControllerVersions returns the versions of the controller listener of a Kafka 4.3.1 node, for Config.Versions: many
// APIs useless to a producer, without Produce, Metadata and InitProducerId.
func ControllerVersions() map[protocol.APIKey]protocol.VersionRange {
	absent := protocol.VersionRange{Min: 0, Max: -1}
	v := map[protocol.APIKey]protocol.VersionRange{protocol.Produce: absent, protocol.Metadata: absent,
		protocol.InitProducerID: absent}
	for _, r := range controllerRanges {
		v[r.Key] = protocol.VersionRange{Min: r.Min, Max: r.Max}
	}
	return v
}
