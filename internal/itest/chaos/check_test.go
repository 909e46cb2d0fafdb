package chaos

import (
	"fmt"
	"testing"

	"github.com/gosamsa/samsa/internal/itest/realkafka"
	"github.com/stretchr/testify/require"
)

// story is a journal and a log in agreement: two senders, two partitions, and one record each with both kinds of
// failure.
type story struct {
	journal [][]*Sent
	log     []realkafka.Record
}

const storyRecords = 10

func newStory() *story {
	s := &story{}
	next := map[int32]int64{}
	for sender := range 2 {
		var records []*Sent
		for n := range storyRecords {
			r := &Sent{Sender: sender, N: n, Key: fmt.Appendf(nil, "key-%d", n%4)}
			partition := int32(n % 2)
			o := Outcome{Fate: Acked, Partition: partition, Offset: next[partition]}
			switch n {
			case 4:
				o = Outcome{Fate: NotWritten, Err: "refused"}
			case 5:
				o = Outcome{Fate: Maybe, Err: "timed out"}
			}
			r.Tell(o, 0)
			r.TellFuture(o)
			if o.Fate != NotWritten {
				s.write(r, partition)
				next[partition]++
			}
			records = append(records, r)
		}
		s.journal = append(s.journal, records)
	}
	return s
}

// write appends a record to a partition of the log.
func (s *story) write(r *Sent, partition int32) {
	offset := int64(0)
	for _, w := range s.log {
		if w.Partition == partition {
			offset++
		}
	}
	s.log = append(s.log, realkafka.Record{Partition: partition, Offset: offset, Key: r.Key, Value: r.value()})
}

func (s *story) check() Verdict { return Checker{Futures: true}.Check(s.journal, s.log) }

func TestCheckerFindsNothingInGoodRuns(t *testing.T) {
	v := newStory().check()
	require.True(t, v.Clean(), "%v", v.Findings)
	require.Empty(t, v.Findings)
	require.Equal(t, map[Fate]int{Acked: 16, NotWritten: 2, Maybe: 2}, v.Fates)
	require.Equal(t, 18, v.Written)
	require.Equal(t, 2, v.MaybeThere)
}

func TestCheckerFindsEachKindOfBrokenWord(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(s *story)
		want  Counts
	}{
		"acknowledged and missing": {func(s *story) { s.log = s.log[:len(s.log)-1] }, Counts{Lost: 1}},
		"acknowledged at another offset": {func(s *story) {
			r := s.journal[0][0]
			r.told[0].Offset, r.future.Offset = 7, 7
		}, Counts{Lost: 1}},
		"acknowledged in another partition": {func(s *story) {
			r := s.journal[1][9]
			r.told[0].Partition, r.future.Partition = 0, 0
		}, Counts{Lost: 1}},
		"acknowledged without an offset and missing": {func(s *story) {
			r := s.journal[1][9]
			r.told[0].Offset, r.future.Offset = -1, -1
			s.log = s.log[:len(s.log)-1]
		}, Counts{Lost: 1}},
		"written twice":                   {func(s *story) { s.write(s.journal[0][9], 1) }, Counts{Duplicate: 1}},
		"written into a second partition": {func(s *story) { s.write(s.journal[0][9], 0) }, Counts{Duplicate: 1}},
		"written three times": {func(s *story) {
			s.write(s.journal[0][5], 1)
			s.write(s.journal[0][5],
				1)
		}, Counts{Duplicate: 2}},
		"told maybe and written out of order": {lateMaybe, Counts{Reordered: 1}},
		"two records changed places": {func(s *story) {
			last := len(s.log) - 1
			s.log[last].Value, s.log[last-2].Value = s.log[last-2].Value, s.log[last].Value
			s.log[last].Key, s.log[last-2].Key = s.log[last-2].Key, s.log[last].Key
		}, Counts{Reordered: 1, Lost: 2}},
		"told not written and there": {func(s *story) { lateNotWritten(s) }, Counts{Lied: 1}},
		"told twice": {func(s *story) { r := s.journal[0][3]; r.Tell(r.told[0], 0) },
			Counts{ToldTwice: 1}},
		"told twice and differently": {func(s *story) { s.journal[0][3].Tell(Outcome{Fate: Maybe}, 0) },
			Counts{ToldTwice: 1}},
		"never told": {func(s *story) { s.journal[0][3].told = nil },
			Counts{NeverTold: 1}},
		"never told by the future": {func(s *story) { s.journal[0][3].futures = 0 },
			Counts{NeverTold: 1}},
		"future and callback disagree on the offset": {func(s *story) { s.journal[0][3].future.Offset++ },
			Counts{Disagree: 1}},
		"future and callback disagree on the error": {func(s *story) { s.journal[0][4].future.Err = "other" },
			Counts{Disagree: 1}},
		"a record that nobody sent": {func(s *story) {
			s.write(&Sent{Sender: 0, N: storyRecords, Key: []byte("key-2")}, 0)
		}, Counts{Foreign: 1}},
		"no record of ours": {func(s *story) {
			s.log = append(s.log, realkafka.Record{Partition: 0, Offset: 9, Value: []byte("hello")})
		}, Counts{Foreign: 1}},
		"one byte differs": {func(s *story) { s.log[2].Value[20]++ }, Counts{Foreign: 1, Lost: 1}},
		"another key":      {func(s *story) { s.log[2].Key = []byte("key-9") }, Counts{Foreign: 1, Lost: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory()
			c.spoil(s)
			v := s.check()
			require.Equal(t, c.want, v.Counts, "%v", v.Findings)
			require.NotEmpty(t, v.Findings)
			require.False(t, v.Clean())
		})
	}
}

// lateMaybe takes a record with the outcome "maybe written" out of the log and appends it at the end.
func lateMaybe(s *story) {
	r := s.journal[1][5]
	var log []realkafka.Record
	for _, w := range s.log {
		if string(w.Value) != string(r.value()) {
			log = append(log, w)
		}
	}
	s.log = log
	for _, r := range s.journal[1][6:] { // the records behind it move up
		if r.told[0].Partition == 1 {
			r.told[0].Offset--
			r.future.Offset--
		}
	}
	for i, next := 0, int64(0); i < len(s.log); i++ {
		if s.log[i].Partition == 1 {
			s.log[i].Offset = next
			next++
		}
	}
	s.write(r, 1)
}

// lateNotWritten writes a record with the outcome "not written", in its order: no other record of its sender and
// partition follows.
func lateNotWritten(s *story) {
	s.journal[1] = s.journal[1][:5]
	s.log = s.log[:len(s.log)-5]
	s.write(s.journal[1][4], 0)
}

func TestCheckerLetsRecordsOfADeletedTopicBeGone(t *testing.T) {
	s := newStory()
	s.log = s.log[:len(s.log)-1]
	gone := s.journal[1][storyRecords-1]
	v := Checker{Futures: true, MayBeGone: func(r *Sent) bool { return r == gone }}.Check(s.journal, s.log)
	require.True(t, v.Clean(), "%v", v.Findings)
}

func TestCheckerAsksFuturesOnlyOfClientsThatHaveThem(t *testing.T) {
	s := newStory()
	s.journal[0][3].futures = 0
	v := Checker{}.Check(s.journal, s.log)
	require.True(t, v.Clean(), "%v", v.Findings)
}

func TestCheckerCountsAllAndDescribesSome(t *testing.T) {
	s := newStory()
	for range maxFindings + 5 {
		s.write(s.journal[0][0], 0)
	}
	v := s.check()
	require.Equal(t, Counts{Duplicate: maxFindings + 5}, v.Counts)
	require.Len(t, v.Findings, maxFindings)
}
