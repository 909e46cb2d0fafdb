package realkafka

import (
	"fmt"
	"strconv"
	"strings"
)

// atLeast reports whether a version of Kafka, such as 0.11.0.3, is major.minor or newer.
func atLeast(version string, major, minor int) bool {
	a, b, err := parseVersion(version)
	return err == nil && (a > major || a == major && b >= minor)
}

func parseVersion(version string) (major, minor int, err error) {
	parts := strings.Split(version, ".")
	if len(parts) < 3 {
		return 0, 0, fmt.Errorf("%q is no version of Kafka, such as %s", version, DefaultVersion)
	}
	for _, part := range parts {
		if _, err := strconv.ParseUint(part, 10, 16); err != nil {
			return 0, 0, fmt.Errorf("%q is no version of Kafka, such as %s", version, DefaultVersion)
		}
	}
	major, _ = strconv.Atoi(parts[0])
	minor, _ = strconv.Atoi(parts[1])
	return major, minor, nil
}

// needsZooKeeper reports whether this package runs a version with ZooKeeper. KRaft's files and tools have been the same
// since 3.9.
func needsZooKeeper(version string) bool { return !atLeast(version, 3, 9) }

// scalaVersion returns the Scala of the broker's package, a part of its name.
func scalaVersion(version string) string {
	if atLeast(version, 2, 4) {
		return "2.13"
	}
	return "2.12"
}
