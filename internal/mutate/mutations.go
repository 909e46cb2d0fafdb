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
	"core":  {"./internal/simulation/core", "TestSimulatedClusterAgreesWithOutcomes", 20_000},
	"whole": {"./internal/simulation/whole", "TestTheWholeProducerKeepsItsWord", 4_000},
}

const (
	answers = "internal/delivery/answered.go"
	batches = "internal/delivery/partition.go"
	lost    = "internal/delivery/lost.go"
	next    = "internal/delivery/next.go"
	outcome = "internal/delivery/outcome.go"
	prepare = "internal/delivery/prepare.go"
	settle  = "internal/delivery/settle.go"
	topics  = "internal/delivery/topic.go"
)

var mutations = []mutation{
	{
		name: "the unresolved state is dropped", file: outcome, by: "core", daily: true,
		right: "} else if p.step(b, stepDoubt); !p.cfg.Idempotent {", wrong: "} else if p.step(b, stepDoubt); true {",
	}, {
		name: "a lost answer counts as an acknowledgement", file: lost, by: "core",
		right: "\t\t\tp.retry(b, cause, now)\n\t\t}\n\t}\n",
		wrong: "\t\t\tp.succeeded(b, &Answer{Offset: -1}, false, now)\n\t\t}\n\t}\n",
	}, {
		name: "retries go out of order", file: next, by: "core",
		right: "\tfor _, b := range p.window {\n\t\tswitch b.state {\n\t\tcase Preparing:\n",
		wrong: "\tfor i := range p.window {\n\t\tb := p.window[len(p.window)-1-i]\n\t\tswitch b.state {\n\t\tcase Preparing:\n",
	}, {
		name: "several are in flight under a new identity", file: next, by: "core", daily: true,
		right: "if p.cfg.Idempotent && !p.isAcked && p.inFlight > 0 {", wrong: "if false {",
	}, {
		name: "a batch of unknown fate gets a new identity", file: answers, by: "core", daily: true,
		right: "\tif b.isDoubtful() {\n\t\t// The broker refuses b's identity",
		wrong: "\tif false {\n\t\t// The broker refuses b's identity",
	}, {
		name: "a lost answer raises no doubt", file: lost, by: "core",
		right: "\t\tb.doubt()\n\t\tb.request = Lost\n", wrong: "\t\tb.request = Lost\n",
	}, {
		name: "a request on its way is forgotten", file: lost, by: "core",
		right: "\t\tb.doubt()\n\t\tb.request = Lost\n", wrong: "\t\tb.doubt()\n",
	}, {
		name: "sequences are compared without their wrap", file: next, by: "core",
		right: "return int32(uint32(a-b)<<1) < 0", wrong: "return a < b",
	}, {
		name: "sequences go on past the wrap", file: next, by: "core",
		right: "return int32((int64(s) + int64(n)) & 0x7fffffff)", wrong: "return s + n",
	}, {
		name: "a failed batch leaves no gap", file: answers, by: "core",
		right: "p.hasGap, p.gapAt = true, b.sequence", wrong: "p.gapAt = b.sequence",
	}, {
		name: "out of order proves that nothing was written", file: answers, by: "core",
		right: "\tif b.fate == Proven {\n\t\treturn false\n\t}\n",
		wrong: "\tif !b.request.IsOutstanding() {\n\t\treturn true\n\t}\n",
	}, {
		name: "an error that follows a write is certain", file: answers, by: "core",
		right: "if a.Code.WriteOutcomeWith(p.cfg.Acks) == protocol.MaybeWritten {", wrong: "if false {",
	}, {
		name: "the sequence of a request that left is given back", file: lost, by: "core",
		right: "if b.tries == 0 && p.cfg.Idempotent {", wrong: "if p.cfg.Idempotent {",
	}, {
		name: "unknown fates leave the identity as it is", file: settle, by: "core",
		right: "\t\tp.needBump = true\n\t\tp.dropUnresolved()\n", wrong: "\t\tp.dropUnresolved()\n",
	}, {
		name: "new batches pass one that is tried again", file: next, by: "core",
		right: "case b.state == Retrying, b.state == Preparing, b.state == Unresolved && p.cfg.Idempotent:",
		wrong: "case b.state == Unresolved && p.cfg.Idempotent:",
	}, {
		name: "new batches pass one of unknown fate", file: next, by: "core",
		right: "case b.state == Retrying, b.state == Preparing, b.state == Unresolved && p.cfg.Idempotent:",
		wrong: "case b.state == Retrying, b.state == Preparing:",
	}, {
		name: "new batches pass one that a worker rebuilds", file: next, by: "core",
		right: "case b.state == Retrying, b.state == Preparing, b.state == Unresolved && p.cfg.Idempotent:",
		wrong: "case b.state == Retrying, b.state == Unresolved && p.cfg.Idempotent:",
	}, {
		name: "a batch is renumbered while it is written", file: next, by: "core",
		right: "case b != nil && p.needsSequence(b) && b.isWriting:",
		wrong: "case b != nil && p.needsSequence(b) && b.isWriting && false:",
	}, {
		name: "the late answer of a former leader counts", file: lost, by: "core",
		right: "\t\t\tb.attempt++ // its response comes too late\n", wrong: "",
	}, {
		name: "a former leader's silence proves that nothing was written", file: lost, by: "core",
		right: "p.disconnected(b, true, errFormerLeader, now)", wrong: "p.disconnected(b, false, errFormerLeader, now)",
	}, {
		name: "a failed batch is tried again once more", file: lost, by: "core",
		right: "\tif b.tries > p.cfg.Retries {\n", wrong: "\tif b.tries < 0 {\n",
	}, {
		name: "a new identity goes on with the old sequence", file: batches, by: "core",
		right: "p.id, p.next, p.isAcked, p.needBump, p.hasGap = id, 0, false, false, false",
		wrong: "p.id, p.isAcked, p.needBump, p.hasGap = id, false, false, false",
	}, {
		name: "a part of a split batch goes behind later batches", file: next, by: "core",
		right: "slices.Insert(p.window, slices.Index(p.window, b)+1, next)",
		wrong: "slices.Insert(p.window, len(p.window), next)",
	}, {
		name: "the parts of an unsent batch go behind later batches", file: prepare, by: "core",
		right: "p.unsent = slices.Replace(p.unsent, p.head+i, p.head+i+1, parts...)",
		wrong: "p.unsent = append(slices.Delete(p.unsent, p.head+i, p.head+i+1), parts...)",
	}, {
		name: "the part behind one that has ended is lost", file: batches, by: "core",
		right: "\t\tp.window[i] = next\n\t\treturn\n", wrong: "",
	}, {
		name: "an identity outlives its cluster", file: topics, by: "core",
		right: "\t\tb.epochSeen, b.fastRetries = -1, 0\n\t}\n\tif p.id.Valid {\n",
		wrong: "\t\tb.epochSeen, b.fastRetries = -1, 0\n\t}\n\tif false {\n",
	}, {
		name: "a batch that the former cluster may have is sent to the new one", file: topics, by: "core",
		right: "\tif protocol.SameCluster(p.id.Cluster, p.cluster) {\n\t\treturn\n\t}\n\tfor",
		wrong: "\tif true {\n\t\treturn\n\t}\n\tfor",
	}, {
		name: "the cluster of a connection is not checked", file: "sender/clustercheck.go", by: "whole",
		right: "\tif !b.s.cfg.Idempotent {\n", wrong: "\tif true {\n",
	}, {
		name: "the checksum of a new identity is left out", file: "sender/outbatch.go", by: "whole", daily: true,
		right: "c.stamped, c.summed = c.state.Numbering(), false", wrong: "c.stamped = c.state.Numbering()",
	}, {
		name: "a buffer is reused early", file: "accumulator/batch.go", by: "whole", daily: true,
		right: "func (b *Batch) Retain() { b.holds.Add(1) }", wrong: "func (b *Batch) Retain() {}",
	}, {
		name: "the neighbours of a blamed record are forgotten", file: "sender/prepare.go", by: "whole",
		right: "\t\tif rest, err = p.acc.Reject(c.batch, o.Blamed); rest != nil {\n",
		wrong: "\t\tif rest, err = p.acc.Reject(c.batch, o.Blamed); false {\n",
	}, {
		name: "the epoch goes on past its end", file: "sender/identity.go", by: "whole",
		right: "\t\tcase d.current.Epoch < math.MaxInt16:\n", wrong: "\t\tcase true:\n",
	}, {
		name: "a forgotten topic reuses its sequence", file: "sender/identity.go", by: "whole",
		right: "\t\td.retired = max(d.retired, int32(used.Epoch))\n", wrong: "",
	}, {
		name: "a difference is not delivered", file: "sender/sender.go", by: "whole",
		right: "\t\t\tif p := used[index]; p != nil {\n", wrong: "\t\t\tif p := used[index]; p != nil && index > 0 {\n",
	}, {
		name: "the answer to an attempt that was given up counts", file: answers, by: "whole",
		right: "\tif attempt != b.attempt {\n\t\treturn\n\t}\n\tlate := p.leaveFlight(b)\n\tswitch",
		wrong: "\tlate := p.leaveFlight(b)\n\tswitch",
	}, {
		name: "the shuffle is matched by position", file: "sender/match.go", by: "whole",
		right: "\tif at == len(r.attempts) || r.found[at] || !r.isFor(at, t, index) {\n",
		wrong: "\tif at == len(r.attempts) || r.found[at] {\n",
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
		right: "\twoken = p.acc.memory.keep(&p.holder, n, n-r.charge)\n",
		wrong: "\tn = 0\n\twoken = p.acc.memory.keep(&p.holder, n, n-r.charge)\n",
	}, {
		name: "the cancel frees twice", file: "accumulator/cancel.go", by: "whole",
		right: "\t\tc.emptied.Release()\n",
		wrong: "\t\tc.emptied.part.giveBack(c.emptied.box)\n\t\tc.emptied.Release()\n",
	},
}
