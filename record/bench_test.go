package record

import (
	"fmt"
	"testing"
)

var benchRecords = []struct {
	name       string
	key, value int
	headers    []Header
}{
	{"value=10", -1, 10, nil},
	{"value=100", -1, 100, nil},
	{"key=10,value=100", 10, 100, nil},
	{"value=1000", -1, 1000, nil},
	{"key=16,value=100,headers=2", 16, 100, []Header{{"trace", make([]byte, 16)}, {"tenant", []byte("blue")}}},
}

func benchBytes(n int) []byte {
	if n < 0 {
		return nil
	}
	return make([]byte, n)
}

func BenchmarkAppendRecord(b *testing.B) {
	for _, c := range benchRecords {
		b.Run(c.name, func(b *testing.B) {
			key, value := benchBytes(c.key), benchBytes(c.value)
			buf := make([]byte, 0, 16<<10)
			b.SetBytes(int64(RecordSize(100, 100, key, value, c.headers)))
			b.ReportAllocs()
			i := int32(0)
			for b.Loop() {
				if cap(buf)-len(buf) < 2048 {
					buf, i = buf[:0], 0
				}
				buf = AppendRecord(buf, i, int64(i>>3), key, value, c.headers)
				i++
			}
		})
	}
}

func BenchmarkRecordSize(b *testing.B) {
	for _, c := range benchRecords {
		b.Run(c.name, func(b *testing.B) {
			key, value := benchBytes(c.key), benchBytes(c.value)
			b.ReportAllocs()
			i, n := int32(0), 0
			for b.Loop() {
				n += RecordSize(i&127, int64(i&15), key, value, c.headers)
				i++
			}
			if n == 0 {
				b.Fatal("no size")
			}
		})
	}
}

func BenchmarkChecksum(b *testing.B) {
	for _, n := range []int{200, 16 << 10} {
		b.Run(fmt.Sprintf("batch=%d", n), func(b *testing.B) {
			batch := make([]byte, n)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				SetChecksum(batch)
			}
		})
	}
}
