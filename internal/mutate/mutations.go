package main

// mutation is one slip of the hand: right is the file's text, found once, and wrong its replacement.
type mutation struct {
	name         string
	file         string
	right, wrong string
	by           string // the simulation to notice it
	daily        bool   // is one of the five of the test command
}

// simulation is a test with seeded runs.
type simulation struct {
	folder, test string
	runs         int // far more than it takes
}

var simulations = map[string]simulation{
	"core":  {"./sender", "TestSimulatedClusterAgreesWithOutcomes", 20_000},
	"whole": {"./sender", "TestTheWholeProducerKeepsItsWord", 4_000},
}

const (
	core    = "sender/core.go"
	answers = "sender/core_answers.go"
	times   = "sender/core_time.go"
	glue    = "sender/partition.go"
)

var mutations = []mutation{
	{
		name: "the unresolved state is dropped", file: answers, by: "core", daily: true,
		right: "} else if p.step(evDoubt); !l.cfg.idempotent {", wrong: "} else if p.step(evDoubt); true {",
	}, {
		name: "a lost answer counts as an acknowledgement", file: answers, by: "core",
		right: "\t\t\tout = l.tryAgain(p, cause, now)\n\t\t}\n\t}\n", wrong: "\t\t\tout = l.succeeded(p, answer{offset: -1}, false, now)\n\t\t}\n\t}\n",
	}, {
		name: "retries go out of order", file: core, by: "core",
		right: "\tfor _, p := range l.window {\n\t\tswitch p.state {\n", wrong: "\tfor i := range l.window {\n\t\tp := l.window[len(l.window)-1-i]\n\t\tswitch p.state {\n",
	}, {
		name: "several are in flight under a new identity", file: core, by: "core", daily: true,
		right: "if l.cfg.idempotent && !l.acked && l.inFlight > 0 {", wrong: "if false {",
	}, {
		name: "a batch of unknown fate gets a new identity", file: answers, by: "core", daily: true,
		right: "\tif p.doubtful {\n\t\t// Its identity is refused", wrong: "\tif false {\n\t\t// Its identity is refused",
	}, {
		name: "a lost answer raises no doubt", file: answers, by: "core",
		right: "p.doubtful, p.requestMayArrive = true, true", wrong: "p.requestMayArrive = true",
	}, {
		name: "a request on its way is forgotten", file: answers, by: "core",
		right: "p.doubtful, p.requestMayArrive = true, true", wrong: "p.doubtful = true",
	}, {
		name: "sequences are compared without their wrap", file: core, by: "core",
		right: "return int32(uint32(a-b)<<1) < 0", wrong: "return a < b",
	}, {
		name: "sequences go on past the wrap", file: core, by: "core",
		right: "return int32((int64(s) + int64(n)) & 0x7fffffff)", wrong: "return s + n",
	}, {
		name: "a failed batch leaves no gap", file: answers, by: "core",
		right: "l.gap, l.gapAt = true, p.sequence", wrong: "l.gapAt = p.sequence",
	}, {
		name: "out of order proves that nothing was written", file: answers, by: "core",
		right: "\tif p.provenWritten {\n\t\treturn false\n\t}\n", wrong: "\tif !p.awaiting {\n\t\treturn true\n\t}\n",
	}, {
		name: "an error that follows a write is certain", file: answers, by: "core",
		right: "if a.code.WriteOutcomeWith(l.cfg.acks) == protocol.MaybeWritten {", wrong: "if false {",
	}, {
		name: "the sequence of a request that left is given back", file: answers, by: "core",
		right: "if p.tries == 0 && l.cfg.idempotent {", wrong: "if l.cfg.idempotent {",
	}, {
		name: "unknown fates leave the identity as it is", file: times, by: "core",
		right: "\t\tl.needBump = true\n\t\tstay := l.window[:0]\n", wrong: "\t\tstay := l.window[:0]\n",
	}, {
		name: "new batches pass one that is tried again", file: core, by: "core",
		right: "if p.state == retrying || p.state == unresolved && l.cfg.idempotent {", wrong: "if p.state == unresolved && l.cfg.idempotent {",
	}, {
		name: "new batches pass one of unknown fate", file: core, by: "core",
		right: "if p.state == retrying || p.state == unresolved && l.cfg.idempotent {", wrong: "if p.state == retrying {",
	}, {
		name: "a failed batch is tried again once more", file: answers, by: "core",
		right: "\tif p.tries > l.cfg.retries {\n", wrong: "\tif p.tries < 0 {\n",
	}, {
		name: "a new identity goes on with the old sequence", file: core, by: "core",
		right: "l.id, l.next, l.acked, l.needBump, l.gap = id, 0, false, false, false", wrong: "l.id, l.acked, l.needBump, l.gap = id, false, false, false",
	}, {
		name: "a part of a split batch goes behind later batches", file: core, by: "core",
		right: "slices.Insert(l.window, slices.Index(l.window, p)+1, next)", wrong: "append(l.window, next)",
	}, {
		name: "the part behind one that has ended is lost", file: core, by: "core",
		right: "\t\tl.window[i] = next\n\t\treturn\n", wrong: "",
	}, {
		name: "an identity outlives its cluster", file: times, by: "core",
		right: "\t\tp.epochSeen, p.fastRetries = -1, 0\n\t}\n\tif l.id.valid {\n", wrong: "\t\tp.epochSeen, p.fastRetries = -1, 0\n\t}\n\tif false {\n",
	}, {
		name: "a batch that the former cluster may have is sent to the new one", file: times, by: "core",
		right: "\tif cluster.SameCluster(l.id.cluster, l.cluster) {\n\t\treturn nil\n\t}\n\tfor", wrong: "\tif true {\n\t\treturn nil\n\t}\n\tfor",
	}, {
		name: "the cluster of a connection is not checked", file: "sender/clustercheck.go", by: "whole",
		right: "\tif !b.s.cfg.Idempotent {\n", wrong: "\tif true {\n",
	}, {
		name: "the checksum of a new identity is left out", file: glue, by: "whole", daily: true,
		right: "\t\tc.summed = false\n", wrong: "",
	}, {
		name: "a buffer is reused early", file: "accumulator/batch.go", by: "whole", daily: true,
		right: "func (b *Batch) Retain() { b.holds.Add(1) }", wrong: "func (b *Batch) Retain() {}",
	}, {
		name: "the neighbours of a blamed record are forgotten", file: "sender/prepare.go", by: "whole",
		right: "\t\tif rest, err = p.acc.Reject(c.batch, a.blamed); rest != nil {\n", wrong: "\t\tif rest, err = p.acc.Reject(c.batch, a.blamed); false {\n",
	}, {
		name: "the epoch goes on past its end", file: "sender/identity.go", by: "whole",
		right: "\t\tcase d.current.epoch < math.MaxInt16:\n", wrong: "\t\tcase true:\n",
	}, {
		name: "a forgotten topic reuses its sequence", file: "sender/identity.go", by: "whole",
		right: "\t\td.retired = max(d.retired, int32(used.epoch))\n", wrong: "",
	}, {
		name: "a difference is not delivered", file: "sender/sender.go", by: "whole",
		right: "\t\t\tif p := used[index]; p != nil {\n", wrong: "\t\t\tif p := used[index]; p != nil && index > 0 {\n",
	}, {
		name: "the answer to a trip that was given up counts", file: glue, by: "whole",
		right: "\tif t.try == t.outBatch.try {\n\t\ttired =", wrong: "\tif t.try >= 0 {\n\t\ttired =",
	}, {
		name: "the shuffle is matched by position", file: "sender/match.go", by: "whole",
		right: "\tif at == len(r.attempts) || r.found[at] || !r.isFor(at, t, index) {\n", wrong: "\tif at == len(r.attempts) || r.found[at] {\n",
	}, {
		name: "memory is not given back", file: "accumulator/batch.go", by: "whole",
		right: "\tp.acc.memory.release(&p.holder, size)\n", wrong: "\tp.acc.memory.release(&p.holder, size-size)\n",
	}, {
		name: "a canceled record is sent all the same", file: "accumulator/batch.go", by: "whole",
		right: "\tif b.root.dropped != nil {\n\t\tb.compact()\n\t}\n", wrong: "",
	}, {
		name: "offsets ignore the records that were left out", file: "accumulator/result.go", by: "whole",
		right: "return o.BaseOffset + int64(i) - r.dropped.rank(i),", wrong: "return o.BaseOffset + int64(i),",
	}, {
		name: "the account drops a waiting result", file: "accumulator/charge.go", by: "whole",
		right: "\twoken = p.acc.memory.keep(&p.holder, n, n-r.charge)\n", wrong: "\tn = 0\n\twoken = p.acc.memory.keep(&p.holder, n, n-r.charge)\n",
	}, {
		name: "the cancel frees twice", file: "accumulator/cancel.go", by: "whole",
		right: "\t\tc.emptied.Release()\n", wrong: "\t\tc.emptied.part.giveBack(c.emptied.box)\n\t\tc.emptied.Release()\n",
	},
}
