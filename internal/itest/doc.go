// Package itest holds the tests that need more than Go and this module: codecs compared with franz-go's, the whole producer against
// kfake in the shape of old brokers, and against real Apache Kafka from 0.11 to 4.4. Everything is in its tests; nothing imports it.
//
// It is a module of its own, so that the library's go.mod stays small:
//
//	cd internal/itest && go test ./...
package itest
