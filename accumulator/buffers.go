package accumulator

import (
	"math/bits"
	"sync"
)

// Buffers come in powers of two between these; a larger one is made for its record and left to the garbage collector.
const (
	minBufferBits = 9  // 512 bytes: 10,000 partitions with one small record each fit into 32 MiB
	maxBufferBits = 20 // 1 MiB
)

// bufferPool keeps freed batch buffers by size class. It holds bytes only; each Accumulator has its own. Buffers travel
// as pointers, so giving one back allocates nothing.
type bufferPool struct {
	classes [maxBufferBits - minBufferBits + 1]sync.Pool
}

// bufferClass returns the class of buffers for n bytes; ok is false when n is above all classes.
func bufferClass(n int) (class int, ok bool) {
	if n <= 1<<minBufferBits {
		return 0, true
	}
	class = bits.Len(uint(n-1)) - minBufferBits
	return class, class <= maxBufferBits-minBufferBits
}

// bufferSize returns the size of the smallest class for n bytes, or n when it is above all classes.
func bufferSize(n int) int {
	class, ok := bufferClass(n)
	if !ok {
		return n
	}
	return 1 << (class + minBufferBits)
}

// get returns an empty buffer of exactly the given capacity, the charge on buffer.memory. Only a capacity from
// [bufferSize] comes from the pool.
func (p *bufferPool) get(capacity int) *[]byte {
	if class, ok := bufferClass(capacity); ok && bufferSize(capacity) == capacity {
		if b, _ := p.classes[class].Get().(*[]byte); b != nil {
			checkPoison(*b)
			return b
		}
	}
	b := make([]byte, 0, capacity)
	return &b
}

// put gives a buffer back. The caller must not touch it again.
func (p *bufferPool) put(b *[]byte) {
	poison(*b)
	class, ok := bufferClass(cap(*b))
	if !ok || cap(*b) != 1<<(class+minBufferBits) {
		return
	}
	*b = (*b)[:0]
	p.classes[class].Put(b)
}
