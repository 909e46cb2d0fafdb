// Package examples is the module of the example programs. Copy the main.go of one into a program of your own:
//
//	go -C examples run ./quickstart   // start here: sync and async sends, read back by another client; embeds a broker
//	go -C examples run ./sync         // Send and Get; the fates of failed records
//	go -C examples run ./async        // callbacks, slices, Cancel, Flush, Close
//	go -C examples run ./import       // a file importer: progress, kinds of failure, resume after a crash
//	go -C examples run ./http         // a web handler that sends: contexts, backpressure, shutdown
//	go -C examples run ./properties   // a Java producer's properties file
//	go -C examples run ./profiles     // fast, balanced and safe delivery side by side
//	go -C examples run ./crash        // a program that dies while it sends, and its losses
//	go -C examples run ./broker       // a fake broker for the others, on machines without Kafka
//
// The programs use package producer. Only the embedded broker of quickstart, broker, and the readers of quickstart and
// crash need github.com/twmb/franz-go. Each program connects to localhost:9092, or to the broker of -bootstrap. The
// program in readme is the first one of README.md.
//
// The module keeps kfake and franz-go, broker and reader of its tests, out of the library's go.mod.
package examples
