package itest

import (
	"math"
	"math/rand/v2"
	"reflect"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// filler fills messages of either library with random contents. Boundary values are frequent.
type filler struct {
	*rand.Rand
	tags *rand.Rand // if not nil, unknown tags are put into kmsg's messages; the rest of the message stays the same
}

func newFiller(seed1, seed2 uint64) *filler {
	return &filler{Rand: rand.New(rand.NewPCG(seed1, seed2))}
}

// fill sets every field behind v, however deep.
func (f *filler) fill(v any) { f.value(reflect.ValueOf(v).Elem(), 0) }

func (f *filler) value(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Struct:
		f.fields(v, depth)
	case reflect.Pointer:
		v.SetZero()
		if f.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			f.value(v.Elem(), depth)
		}
	case reflect.Slice:
		f.slice(v, depth)
	case reflect.Array:
		for i := range v.Len() {
			f.value(v.Index(i), depth)
		}
	case reflect.String:
		v.SetString(f.text())
	case reflect.Bool:
		v.SetBool(f.IntN(2) == 0)
	case reflect.Uint8:
		v.SetUint(uint64(f.IntN(256)))
	case reflect.Int16:
		v.SetInt(int64(int16(f.number())))
	case reflect.Int32:
		v.SetInt(int64(int32(f.number())))
	case reflect.Int64:
		v.SetInt(f.number())
	default:
		panic("no random " + v.Kind().String())
	}
}

func (f *filler) fields(v reflect.Value, depth int) {
	for i := range v.NumField() {
		switch field := v.Field(i); v.Type().Field(i).Name {
		case "Version": // kmsg's, set by the test
		case "UnknownTags":
			if f.tags != nil {
				f.unknownTags(field.Addr().Interface().(*kmsg.Tags))
			}
		default:
			f.value(field, depth)
		}
	}
}

// unknownTags sets tags with unused numbers.
func (f *filler) unknownTags(t *kmsg.Tags) {
	for range f.tags.IntN(3) {
		t.Set(100+uint32(f.tags.IntN(100_000)), make([]byte, f.tags.IntN(200)))
	}
}

func (f *filler) slice(v reflect.Value, depth int) {
	if f.IntN(6) == 0 {
		v.SetZero()
		return
	}
	if v.Type().Elem().Kind() == reflect.Uint8 {
		v.SetBytes(f.bytes(f.length()))
		return
	}
	n := f.IntN(4)
	if depth == 0 && f.IntN(20) == 0 {
		n = 126 + f.IntN(4) // the edge to a length of two bytes
	}
	v.Set(reflect.MakeSlice(v.Type(), n, n))
	for i := range n {
		f.value(v.Index(i), depth+1)
	}
}

func (f *filler) number() int64 {
	switch f.IntN(4) {
	case 0:
		return []int64{-1, 0, 1, math.MaxInt16, math.MinInt16, math.MaxInt32, math.MinInt32, math.MaxInt64,
			math.MinInt64}[f.IntN(9)]
	case 1:
		return int64(f.IntN(200))
	default:
		return int64(f.Uint64())
	}
}

// length is small or near a boundary of varints.
func (f *filler) length() int {
	return []int{0, 1, f.IntN(20), 126 + f.IntN(4), 16382 + f.IntN(4), f.IntN(1000)}[f.IntN(6)]
}

func (f *filler) text() string {
	if f.IntN(100) == 0 {
		return strings.Repeat("x", math.MaxInt16)
	}
	var b strings.Builder
	for range min(f.length(), 300) {
		b.WriteRune([]rune("abcz09.-_ \n\téß世\U0001F600\x00")[f.IntN(17)])
	}
	return b.String()
}

func (f *filler) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(f.Uint32())
	}
	return b
}
