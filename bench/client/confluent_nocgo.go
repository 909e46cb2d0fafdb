//go:build !cgo

package client

// openConfluent is not there: confluent-kafka-go is a binding to a C library.
var openConfluent func(cfg Config, outcomes Outcomes) (Client, error)
