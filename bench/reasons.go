package main

// reasons are what was found out about goals that are missed, by how their names begin. They are the only part of the page that is written by
// hand, and stand there only while the goal is missed.
var reasons = []struct{ goal, text string }{
	{"async 100 B, tuned: CPU a record", "In a profile of 184 ns a record 90 were the measuring, 25 the checksum and the write, and 10 the encoding; the floor has these, and little else. What Samsa has " +
		"beside: 28 ns for what an append notes down under its partition's lock (place, time, callback, memory), the lock included, 16 to find the partition, 8 to call back on another processor than the one that made the " +
		"closures, 4 for the scheduler and the answers. That is the price of many goroutines that may send, of records that can be taken back, of callbacks that hold up nobody, and of bounded memory. " +
		"1.15 times the floor would leave some 20 ns for all of it: less than a lock and two misses of the cache. The floor is quicker than it was asked to be, which was 0.45 of franz-go's CPU."},
	{"1,000 B: CPU, of franz-go's", sixteenRecords},
	{"1,000 B: rate, of franz-go's", sixteenRecords},
	{"sync, 1 goroutine: CPU, of franz-go's", "In a profile of 44 µs a record the write was 46 %, waiting in the scheduler and epoll 15 %, and two reads 11 %: 32 µs, as for the floor, which does nothing but this and takes " +
		"half of franz-go's CPU (see its row). That leaves some 4 µs for all else, and Samsa needs 12: the record goes into a batch and its place is noted down, the batch into a request, the answer to the core and to " +
		"who waits, over some forty functions that are cold in the processor's caches after each wait, as the kernel's are."},
	{"sync, 1 goroutine: p50, of franz-go's", "The floor is no quicker (see its row)."},
	{"sync, 64 goroutines: rate, of franz-go's", "One request is under way at a time, with what some 40 goroutines have sent meanwhile; two at a time were tried, and were 9 % slower. In a profile of 2.3 µs a record the write and " +
		"the read were 26 %, the scheduler 18 %, waiting in Get and being woken 18 %, the append 10 %, and the answer 9 %. Waiting for the outcome alone and not for the end of the context, which nobody may do, would be 4 % faster."},
	{"1,000 B, lz4: rate, of franz-go's", "In a profile of 3.0 µs a record 76 % were inside the same library's compression of one block that franz-go calls, and both processors were busy. The broker's process has to run on them, too."},
	{"real Kafka, sync, 64 goroutines: CPU", "At the edge: the runs are on both sides of the goal. In a profile of 3.9 µs a record 28 % were the write, the read and epoll, and 17 % the scheduler, which puts processors to sleep and wakes them " +
		"while the broker works: 1.8 µs together, where franz-go pays 3.2. Waiting in Get for the outcome or the end of the context was 18 %, the append 9 %, the clock 8 %, making the request 8 %, the answer and waking who waits " +
		"4 %. All of these are paid once for each of 64 goroutines that are woken for their one record, or once a request, of which only one is under way."},
	{"real Kafka, one node, 1,000 B: rate", "What a batch costs the broker decides, and 16 KiB hold 16 records, where franz-go's batches are of up to 1 MB by default. With batches of 16 KiB for both, " +
		"Samsa is not behind (see that table); nor is it behind the Java producer, whose default is the same."},
	{"real Kafka, three nodes, 100 B: rate", replicated},
	{"real Kafka, three nodes, 1,000 B: rate", replicated},
}

const (
	sixteenRecords = "With batches of 16 KiB, which hold 16 records, even the floor takes as much CPU as franz-go with its 700 a batch (see its row). In a profile of 643 ns a record the write and the read were " +
		"27 %, the measuring 15 %, the copy into the batch 10 %, the checksum 8 %; the rest is what a batch costs, whatever it holds: 4.1 µs for its part of a request and of " +
		"the answer, its outcome, its callbacks' goroutine and the partitioner's next choice. With large batches see the tuned clients."
	replicated = "As with one node, and more so: a broker looks at a connection's next request when the one before is replicated, and with four partitions a broker and 16 KiB a batch a request has at " +
		"most 64 KiB. Counted in a run like this, requests had 3.9 batches and batches 16 records: no request could have been larger. The Java producer has the same defaults; see its row."
)
