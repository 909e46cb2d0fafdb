package protocol

import "strconv"

// NoLeader is Kafka's number for a missing or unknown leader of a partition.
const NoLeader int32 = -1

// TopicNameProblem returns the fault of a topic's name, as brokers check it, or "".
func TopicNameProblem(name string) string {
	const longest = 249
	switch {
	case name == "":
		return "it is empty"
	case name == "." || name == "..":
		return strconv.Quote(name) + " is not allowed"
	case len(name) > longest:
		return "it has " + strconv.Itoa(len(name)) + " bytes; at most " + strconv.Itoa(longest) + " are allowed"
	}
	for i := range len(name) {
		if !legalInTopic(name[i]) {
			return "the character at byte " + strconv.Itoa(i) + " is not allowed; a-z, A-Z, 0-9, '.', '_' and '-' are"
		}
	}
	return ""
}

func legalInTopic(c byte) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
		return true
	}
	return false
}
