package main

// reasons are the findings about missed goals, by the beginnings of the goals' names. They are the only part of the
// page written by hand, and stand there only while the goal is missed.
var reasons = []struct{ goal, text string }{
	{"async 100 B, tuned: CPU a record",
		"In a profile of 184 ns a record, measuring took 90, the checksum and the write 25, and the encoding 10. The floor " +
			"has these costs and few others. Samsa has four further costs: 28 ns for an append's bookkeeping under its " +
			"partition's lock (offset, time, callback, memory), with the lock; 16 for the choice of the partition; 8 for a " +
			"callback on another processor than its closure's; and 4 for the scheduler and the responses. They are the " +
			"price of sends from many goroutines, of cancelable records, of callbacks that cannot block the sender, and of " +
			"bounded memory. With 1.15 times the floor's CPU, some 20 ns would remain for all of it: less than a lock and " +
			"two cache misses. The floor beats its own target, 0.45 of franz-go's CPU."},
	{"1,000 B: CPU, of franz-go's", sixteenRecords},
	{"1,000 B: rate, of franz-go's", sixteenRecords},
	{"sync, 1 goroutine: CPU, of franz-go's", "In a profile of 44 µs a record, the write took 46 %, waiting in the " +
		"scheduler and epoll 15 %, and two reads 11 %: 32 µs, as for the floor. The floor does nothing else and takes " +
		"half of franz-go's CPU (see its row). This leaves some 4 µs for all other work, and Samsa needs 12: the record " +
		"joins a batch, the batch joins a request, and the response passes through the delivery core to the waiting " +
		"goroutine. More than forty functions do this work. After each wait their code and data have left the " +
		"processor's caches, and so have the kernel's."},
	{"sync, 1 goroutine: p50, of franz-go's", "The floor is no quicker (see its row)."},
	{"sync, 64 goroutines: rate, of franz-go's",
		"One request is in flight at a time, with the records that some 40 goroutines sent meanwhile. Two requests at a " +
			"time were 9 % slower. In a profile of 2.3 µs a record, the write and the read took 26 %, the scheduler 18 %, " +
			"waiting in Get and the wake-up 18 %, the append 10 %, and the response 9 %. A wait for the outcome alone would " +
			"be 4 % faster, but Get must also end with its context."},
	{"1,000 B, lz4: rate, of franz-go's",
		"In a profile of 3.0 µs a record, the compression of blocks took 76 %. franz-go compresses with the same library. " +
			"Both processors were busy, and the broker's process has to run on them, too."},
	{"real Kafka, sync, 64 goroutines: CPU",
		"The runs lie on both sides of the goal. In a profile of 3.9 µs a record, the write, the read and epoll took 28 %, " +
			"and the scheduler 17 %: it puts processors to sleep and wakes them while the broker works. Together these are " +
			"1.8 µs, and 3.2 for franz-go. Waiting in Get for the outcome or the end of the context took 18 %, the append " +
			"9 %, the clock 8 %, the encoding of the request 8 %, and the response and the wake-up of the waiting goroutines " +
			"4 %. Each of 64 goroutines pays its part of these for one record. Each request pays the others, and only one " +
			"request is in flight."},
	{"real Kafka, one node, 1,000 B: rate",
		"The broker's cost of a batch decides. A batch of 16 KiB holds 16 records; a batch of franz-go has up to 1 MB by " +
			"default. If both have batches of 16 KiB, Samsa is not behind (see that table). Samsa is not behind the Java " +
			"producer either, with the same default."},
	{"real Kafka, three nodes, 100 B: rate", replicated},
	{"real Kafka, three nodes, 1,000 B: rate", replicated},
}

const (
	sixteenRecords = "A batch of 16 KiB holds 16 records. With such batches even the floor takes as much CPU as franz-go " +
		"with its 700 records a batch (see its row). In a profile of 643 ns a record, the write and the read took 27 %, " +
		"measuring 15 %, the copy into the batch 10 %, and the checksum 8 %. The rest is the cost of a batch of any size: " +
		"4.1 µs for its part of the request and of the response, its outcome, the goroutine of its callbacks, and the " +
		"partitioner's next choice. The tuned clients have large batches."
	replicated = "The reason is that of one node, and it weighs more here: a broker handles a connection's next request " +
		"only after the replication of the one before. With four partitions a broker and 16 KiB a batch, a request has at " +
		"most 64 KiB. In a run like this one, requests had 3.9 batches and batches 16 records on average, so no " +
		"request could have been larger. The Java producer has the same defaults; see its row."
)
