// Package examples is the module of programs that people run and copy. Each explains itself when it runs, brings its own broker
// (kfake, in process) unless -bootstrap names a real one, and leaves with a code other than 0 when something failed:
//
//	go run ./examples/quickstart   // start here: a topic, sync and async sends, and what another client reads back
//	go run ./examples/sync         // Send and Get; what an error says
//	go run ./examples/async        // callbacks, slices, Cancel, Flush, Close
//	go run ./examples/profiles     // fast, balanced and safe delivery side by side
//	go run ./examples/properties   // a Java producer's properties file
//	go run ./examples/http         // a web handler that sends: contexts, backpressure, shutdown
//	go run ./examples/crash        // a program that dies while it sends: what that loses
//	go run ./examples/durability   // brokers that die while it sends: what each profile loses
//
// The last one kills brokers, so it takes no -bootstrap: it starts three real ones, and needs Java and Maven for that.
//
// What has to do with sending is in each program's main.go, and needs only package producer; crash and durability, which break things, have
// more files. What they share beside it is in internal/lab. It is a module of its own so that kfake and franz-go, which play broker and
// reader here, stay out of the library's go.mod.
package examples
