// Package itest holds the tests with needs beyond Go and this module: codecs compared with franz-go's, the whole
// producer against kfake in the shape of old brokers, and against real Apache Kafka from 0.11 to 4.4. Everything is in
// its tests; nothing imports it.
//
// It is a module of its own, to keep the library's go.mod small:
//
//	cd internal/itest && go test ./...
package itest
