package accumulator

// recordSet is a set of record numbers. The first 64 take no memory of their own: few records of a batch are waited for.
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
