package producer

import (
	"slices"
	"strings"
)

// configElsewhere maps the names of options in other clients to their names in Kafka's Java client.
var configElsewhere = map[string]string{
	"broker.list":                        "bootstrap.servers",
	"compression.codec":                  "compression.type",
	"idempotence":                        "enable.idempotence",
	"message.max.bytes":                  "max.request.size",
	"message.send.max.retries":           "retries",
	"message.timeout.ms":                 "delivery.timeout.ms",
	"metadata.broker.list":               "bootstrap.servers",
	"queue.buffering.max.kbytes":         "buffer.memory",
	"queue.buffering.max.ms":             "linger.ms",
	"request.required.acks":              "acks",
	"socket.receive.buffer.bytes":        "receive.buffer.bytes",
	"socket.send.buffer.bytes":           "send.buffer.bytes",
	"topic.metadata.refresh.interval.ms": "metadata.max.age.ms",
}

// configNearest returns the most likely known name for an unknown one, or "" if no known name is near.
func configNearest(name string) string {
	name = strings.Trim(strings.ToLower(configTrim(name)), `"'`)
	for i := range configOptions {
		if strings.EqualFold(name, configOptions[i].field) {
			return configOptions[i].property
		}
	}
	name = strings.NewReplacer("_", ".", "-", ".").Replace(name)
	if known, ok := configElsewhere[name]; ok {
		return known
	}
	names := configKnownNames()
	slices.SortStableFunc(names, func(a, b string) int { return len(a) - len(b) })
	for _, known := range names {
		if len(name) > 3 && strings.HasPrefix(known, name+".") {
			return known // the user left out the end of the name
		}
	}
	for _, known := range names {
		if strings.HasSuffix(name, "."+known) {
			return known // the user put a prefix before the name
		}
	}
	return configNearestOf(name, append(names, configOtherNames()...))
}

// configNearestOf returns the word with the smallest edit distance from text, or "" if the distance is too large for a
// typing error. Among equally near words it returns the first.
func configNearestOf(text string, words []string) string {
	nearest, fewest := "", (min(len(text), configLongestName)+2)/4
	for _, word := range words {
		if edits := configDistance(text, word); edits < fewest || edits == fewest && nearest == "" {
			nearest, fewest = word, edits
		}
	}
	return nearest
}

func configKnownNames() []string {
	var names []string
	for i := range configOptions {
		names = append(names, configOptions[i].property)
	}
	for _, name := range configIgnored {
		names = append(names, name)
	}
	for i := range configAbsent {
		names = append(names, configAbsent[i].name)
	}
	return slices.DeleteFunc(names, func(name string) bool { return strings.HasSuffix(name, ".") })
}

// configLongestName bounds the work of configDistance: a file can hold names of any length.
const configLongestName = 128

// configDistance is the edit distance of two names: how many bytes to insert, delete or replace, or neighbours to swap.
func configDistance(a, b string) int {
	a, b = a[:min(len(a), configLongestName)], b[:min(len(b), configLongestName)]
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, last, row = last, row, before
		row[0] = i + 1
		for j := range len(b) {
			change := last[j]
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(change, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}
