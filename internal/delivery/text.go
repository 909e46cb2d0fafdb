package delivery

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gosamsa/samsa/protocol"
)

// String returns the identity as text.
func (id Identity) String() string {
	switch {
	case !id.Valid:
		return "id=none"
	case id.Cluster == "":
		return fmt.Sprintf("id=%d epoch=%d", id.ID, id.Epoch)
	}
	return fmt.Sprintf("id=%d epoch=%d cluster=%s", id.ID, id.Epoch, id.Cluster)
}

// String returns the whole state as text: a line for the partition, and one for each batch.
func (p *Partition) String() string {
	var t strings.Builder
	p.writeHead(&t)
	for _, b := range p.window {
		t.WriteString("\n  " + b.String())
		if b.id.Valid && b.id != p.id && b.sequence != NoSequence {
			t.WriteString(" under " + b.id.String())
		}
		for part := b.nextPart; part != nil; part = part.nextPart {
			t.WriteString(", then " + part.name() + " waits")
		}
	}
	for _, b := range p.Unsent() {
		t.WriteString("\n  " + b.String() + ", unsent")
	}
	return t.String()
}

func (p *Partition) writeHead(t *strings.Builder) {
	if p.cfg.Idempotent {
		fmt.Fprintf(t, "%v next=%d", p.id, p.next)
	} else {
		t.WriteString("without idempotence")
	}
	fmt.Fprintf(t, " in-flight=%d", p.inFlight)
	if p.leader != protocol.NoLeader {
		fmt.Fprintf(t, " leader=%d", p.leader)
	}
	if p.leaderEpoch >= 0 {
		fmt.Fprintf(t, " leader-epoch=%d", p.leaderEpoch)
	}
	if p.cluster != "" && p.cluster != p.id.Cluster {
		t.WriteString(" in=" + p.cluster)
	}
	if p.incarnation > 0 {
		fmt.Fprintf(t, " incarnation=%d", p.incarnation)
	}
	if p.hasGap {
		fmt.Fprintf(t, " gap=%d", p.gapAt)
	}
	if p.hasOffset {
		fmt.Fprintf(t, " last-offset=%d", p.lastOffset)
	}
	for _, flag := range []struct {
		is   bool
		name string
	}{
		{p.isAcked, "acked"}, {p.proven && !p.isAcked, "proven"}, {p.shared, "shared"}, {p.needBump, "needs-epoch"},
		{p.needID, "needs-id"}, {!p.leftAt.IsZero(), "left-leader"}, {p.closed != nil, "closed"},
	} {
		if flag.is {
			t.WriteString(" " + flag.name)
		}
	}
}

// name is the batch's name in texts.
func (b *Batch) name() string {
	if named, is := b.owner.(fmt.Stringer); is {
		return named.String()
	}
	return "batch"
}

// String returns the batch as text.
func (b *Batch) String() string {
	var t strings.Builder
	t.WriteString(b.name() + " " + b.state.String())
	if b.sequence != NoSequence {
		fmt.Fprintf(&t, " sequence=%d", b.sequence)
	}
	if b.fate != Unwritten {
		t.WriteString(" " + b.fate.String())
	}
	if b.request == Lost || b.request == Resent || b.request == Outstanding && b.state != InFlight {
		t.WriteString(" " + b.request.String())
	}
	if b.tries > 0 {
		fmt.Fprintf(&t, " tries=%d", b.tries)
	}
	return t.String()
}

// String returns the outcome as text.
func (o Outcome) String() string {
	name := ""
	if o.Batch != nil {
		name = o.Batch.name()
	}
	switch o.Kind {
	case Acknowledged:
		return fmt.Sprintf("complete %s offset=%d time=%d", name, o.Offset, o.Time)
	case Failed:
		return fmt.Sprintf("fail %s %s", name, o.Err)
	case TooLarge:
		return fmt.Sprintf("split %s or fail: %s", name, o.Err)
	case Rejected:
		text := "reject of " + name
		for _, i := range slices.Sorted(maps.Keys(o.Blamed)) {
			text += " " + strconv.Itoa(int(i)) + ": " + o.Blamed[i].Error()
		}
		return text
	}
	return fmt.Sprintf("bug: %s", o.Err)
}

// Describe returns outcomes as one line of text.
func Describe(outcomes []Outcome) string {
	texts := make([]string, 0, len(outcomes))
	for _, o := range outcomes {
		texts = append(texts, o.String())
	}
	return strings.Join(texts, "; ")
}
