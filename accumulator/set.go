package accumulator

import (
	"math/bits"

	"github.com/gosamsa/samsa/record"
)

// recordSet is a set of record numbers. The first 64 take no memory of their own: few records of a batch are waited
// for.
type recordSet struct {
	low  uint64
	high []uint64 // from 64 on
}

func (s *recordSet) has(i int32) bool {
	if i < 64 {
		return s.low&(1<<uint(i)) != 0
	}
	word := int(i)/64 - 1
	return word < len(s.high) && s.high[word]&(1<<(uint(i)%64)) != 0
}

func (s *recordSet) add(i int32) {
	if i < 64 {
		s.low |= 1 << uint(i)
		return
	}
	word := int(i)/64 - 1
	if grow := word + 1 - len(s.high); grow > 0 {
		s.high = append(s.high, make([]uint64, grow)...)
	}
	s.high[word] |= 1 << (uint(i) % 64)
}

func (s *recordSet) remove(i int32) {
	if i < 64 {
		s.low &^= 1 << uint(i)
	} else if word := int(i)/64 - 1; word < len(s.high) {
		s.high[word] &^= 1 << (uint(i) % 64)
	}
}

// count returns how many numbers are in the set.
func (s *recordSet) count() int {
	n := bits.OnesCount64(s.low)
	for _, word := range s.high {
		n += bits.OnesCount64(word)
	}
	return n
}

// droppedSet is the set of a batch's canceled records; nil is an empty one.
type droppedSet struct {
	err    *record.Error // their outcome
	set    recordSet
	n      int32
	before []int32 // how many are in the words before each of set.high; made by seal
}

func (d *droppedSet) add(i int32) {
	d.set.add(i)
	d.n++
}

func (d *droppedSet) has(i int32) bool { return d != nil && d.set.has(i) }

// count returns how many records are in the set.
func (d *droppedSet) count() int32 {
	if d == nil {
		return 0
	}
	return d.n
}

// seal makes rank work. The set does not change afterwards.
func (d *droppedSet) seal() {
	if d == nil || len(d.set.high) == 0 {
		return
	}
	d.before = make([]int32, len(d.set.high))
	sum := bits.OnesCount64(d.set.low)
	for k, word := range d.set.high {
		d.before[k] = int32(sum)
		sum += bits.OnesCount64(word)
	}
}

// rank returns how many records before i are in the set.
func (d *droppedSet) rank(i int32) int64 {
	switch word := int(i)/64 - 1; {
	case d == nil: // as nearly always, and every record asks
		return 0
	case word < 0:
		return int64(bits.OnesCount64(d.set.low & below(i)))
	case word >= len(d.set.high):
		return int64(d.n)
	default:
		return int64(d.before[word]) + int64(bits.OnesCount64(d.set.high[word]&below(i)))
	}
}

// below is a mask of the numbers before i in i's word.
func below(i int32) uint64 { return 1<<(uint(i)%64) - 1 }
