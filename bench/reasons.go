package main

// reasons are the findings about missed goals, by the beginnings of the goals' names. They are the only part of the
// page written by hand, and stand there only while the goal is missed.
var reasons = []struct{ goal, text string }{
	{"async 100 B, tuned: CPU a record",
		"In a profile of 184 ns a record 90 were the measuring, 25 the checksum and the " +
			"write, and 10 the encoding; the floor has these, and little else. Samsa has four further costs: 28 ns for an " +
			"append's notes under its partition's lock (offset, time, callback, memory), the lock included, 16 to find the " +
			"partition, 8 to call back on another processor than the closures' own, 4 for the scheduler and the answers. " +
			"They are the price of sends from many goroutines, of records that can be taken back, of callbacks that cannot " +
			"block the sender, and of bounded memory. 1.15 times the floor would leave some 20 ns for all of it: less than a " +
			"lock and two misses of the cache. The floor is quicker than its own target, 0.45 of franz-go's CPU."},
	{"1,000 B: CPU, of franz-go's", sixteenRecords},
	{"1,000 B: rate, of franz-go's", sixteenRecords},
	{"sync, 1 goroutine: CPU, of franz-go's", "In a profile of 44 µs a record the write was 46 %, waiting in the " +
		"scheduler and epoll 15 %, and two reads 11 %: 32 µs, as for the floor. The floor does nothing else and takes " +
		"half of franz-go's CPU (see its row). This leaves some 4 µs for all other work, and Samsa needs 12: the record " +
		"joins a batch and gets its notes, the batch joins a request, and the answer passes through the core to the " +
		"waiting goroutine. These are over forty functions, and after each wait they are cold in the processor's caches, " +
		"as the kernel's are."},
	{"sync, 1 goroutine: p50, of franz-go's", "The floor is no quicker (see its row)."},
	{"sync, 64 goroutines: rate, of franz-go's",
		"One request is under way at a time, with the records sent by some 40 " +
			"goroutines meanwhile; two requests at a time were 9 % slower. In a profile of 2.3 µs a record the write and the " +
			"read were 26 %, the scheduler 18 %, waiting in Get and being woken 18 %, the append 10 %, and the answer 9 %. A " +
			"wait for the outcome alone would be 4 % faster, but Get must also end with its context."},
	{"1,000 B, lz4: rate, of franz-go's",
		"In a profile of 3.0 µs a record 76 % were inside the compression of one block " +
			"by the same library as franz-go's, and both processors were busy. The broker's process has to run on them, too."},
	{"real Kafka, sync, 64 goroutines: CPU",
		"At the edge: the runs are on both sides of the goal. In a profile of 3.9 µs " +
			"a record 28 % were the write, the read and epoll, and 17 % the scheduler: it puts processors to sleep and wakes " +
			"them while the broker works. Together they are 1.8 µs, and 3.2 for franz-go. Waiting in Get for the outcome or " +
			"the end of the context was 18 %, the append 9 %, the clock 8 %, making the request 8 %, the answer and waking " +
			"the waiting goroutines 4 %. Each of 64 goroutines pays all of these for its one record, or each request pays " +
			"them, with only one request under way."},
	{"real Kafka, one node, 1,000 B: rate",
		"The broker's cost of a batch decides, and 16 KiB hold 16 records, against " +
			"franz-go's default of up to 1 MB. With batches of 16 KiB for both, Samsa is not behind (see that table); nor is " +
			"it behind the Java producer, with the same default."},
	{"real Kafka, three nodes, 100 B: rate", replicated},
	{"real Kafka, three nodes, 1,000 B: rate", replicated},
}

const (
	sixteenRecords = "With batches of 16 KiB, so 16 records each, even the floor takes as much CPU as franz-go with its " +
		"700 records a batch (see its row). In a profile of 643 ns a record the write and the read were 27 %, the " +
		"measuring 15 %, the copy into the batch 10 %, the checksum 8 %; the rest is a batch's cost regardless of its " +
		"size: 4.1 µs for its part of a request and of the answer, its outcome, its callbacks' goroutine and the " +
		"partitioner's next choice. With large batches see the tuned clients."
	replicated = "As with one node, and more so: a broker looks at a connection's next request after the replication of " +
		"the one before, and with four partitions a broker and 16 KiB a batch a request has at most 64 KiB. Counted in a " +
		"run like this, requests had 3.9 batches and batches 16 records: no request could have been larger. The Java " +
		"producer has the same defaults; see its row."
)
