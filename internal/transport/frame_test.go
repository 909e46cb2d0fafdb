package transport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"runtime/metrics"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// frames returns a stream of frames with these bodies.
func frames(bodies ...[]byte) []byte {
	var b []byte
	for _, body := range bodies {
		b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
		b = append(b, body...)
	}
	return b
}

func TestFramesComeWholeHoweverTheStreamIsCut(t *testing.T) {
	bodies := [][]byte{
		[]byte("\x00\x00\x00\x01"), bytes.Repeat([]byte{1}, initialBuffer-4), bytes.Repeat([]byte{2}, initialBuffer),
		bytes.Repeat([]byte{3}, 100_000), []byte("\x00\x00\x00\x02ab"), bytes.Repeat([]byte{4}, 3*keptBuffer),
		[]byte("\x00\x00\x00\x03"),
	}
	for name, cut := range map[string]func(io.Reader) io.Reader{
		"in one piece":     func(r io.Reader) io.Reader { return r },
		"into halves":      iotest.HalfReader,
		"into bytes":       iotest.OneByteReader,
		"with data at EOF": iotest.DataErrReader,
	} {
		t.Run(name, func(t *testing.T) {
			src := cut(bytes.NewReader(frames(bodies...)))
			var r frameReader
			for _, body := range bodies {
				frame, err := r.next(src, 10*keptBuffer)
				require.NoError(t, err)
				require.True(t, bytes.Equal(body, frame))
			}
			_, err := r.next(src, 10*keptBuffer)
			require.Equal(t, io.EOF, err)
			require.LessOrEqual(t, len(r.buf), keptBuffer, "a huge buffer is let go of")
		})
	}
}

// interruptedReader ends every second read with a deadline.
type interruptedReader struct {
	src io.Reader
	n   int
}

func (r *interruptedReader) Read(b []byte) (int, error) {
	if r.n++; r.n%2 == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	return r.src.Read(b[:min(len(b), 7)])
}

func TestADeadlineInTheMiddleOfAFrameLosesNothing(t *testing.T) {
	bodies := [][]byte{bytes.Repeat([]byte("abcde"), 300), []byte("\x00\x00\x00\x07xyz")}
	src := &interruptedReader{src: bytes.NewReader(frames(bodies...))}
	var r frameReader
	for _, body := range bodies {
		frame, err := r.next(src, 1<<20)
		for errors.Is(err, os.ErrDeadlineExceeded) {
			frame, err = r.next(src, 1<<20)
		}
		require.NoError(t, err)
		require.Equal(t, string(body), string(frame))
	}
}

func TestTheBufferGrowsWithReceivedBytesOnly(t *testing.T) {
	claim := binary.BigEndian.AppendUint32(nil, 90<<20)
	var r frameReader
	_, err := r.next(io.MultiReader(bytes.NewReader(claim), bytes.NewReader(make([]byte, 10_000))), 100<<20)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.LessOrEqual(t, len(r.buf), 4*10_000)
}

func TestAStreamThatGivesNeitherBytesNorAnErrorIsGivenUp(t *testing.T) {
	var r frameReader
	_, err := r.next(iotest.ErrReader(nil), 1<<20)
	require.ErrorIs(t, err, io.ErrNoProgress)
}

func TestTextIsTakenForAnotherProtocolOnlyAtTheBeginning(t *testing.T) {
	var r frameReader
	src := bytes.NewReader(append(frames([]byte("\x00\x00\x00\x01")), "HTTP/1.1 400"...))
	_, err := r.next(src, 1<<20)
	require.NoError(t, err)
	_, err = r.next(src, 1<<20)
	require.ErrorIs(t, err, ErrMalformed)
	require.NotErrorIs(t, err, ErrNotKafka)
}

// FuzzFrameReader cuts any stream at any places. The frames must equal the frames of the uncut stream, and memory must
// stay a small multiple of the input.
func FuzzFrameReader(f *testing.F) {
	f.Add(frames([]byte("\x00\x00\x00\x01body"), []byte("\x00\x00\x00\x02")), uint8(3))
	f.Add([]byte("\xff\xff\xff\xff"), uint8(1))
	f.Add([]byte("\x00\x00\x00\x00"), uint8(1))
	f.Add([]byte("\x7f\xff\xff\xff\x00"), uint8(9))
	f.Add([]byte("\x00\x10\x00\x00half"), uint8(2))
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), uint8(200))
	f.Add(frames(bytes.Repeat([]byte{9}, 5000), []byte("\x00\x00\x00\x02ab"), bytes.Repeat([]byte{8}, 4092)),
		uint8(255))
	f.Fuzz(func(t *testing.T, stream []byte, piece uint8) {
		const limit = 1 << 16
		src := &pieces{rest: stream, size: int(piece)*16 + 1}
		var r frameReader
		want := stream
		before := allocated()
		for calls := 0; ; calls++ {
			frame, err := r.next(src, limit)
			// Each frame takes at least eight bytes, and each read except the last returns a frame.
			if calls > len(stream)/8 || src.reads > len(stream)+1 {
				t.Fatalf("%d calls and %d reads for %d bytes", calls, src.reads, len(stream))
			}
			if len(r.buf) > 2*len(stream)+initialBuffer {
				t.Fatalf("a buffer of %d bytes for %d", len(r.buf), len(stream))
			}
			if err != nil {
				if grown := allocated() - before; grown > uint64(4*len(stream)+1<<20) {
					t.Fatalf("%d bytes were allocated for %d", grown, len(stream))
				}
				if len(want) >= 4 && !errors.Is(err, ErrNotKafka) {
					n := int32(binary.BigEndian.Uint32(want))
					if n >= shortestFrame && n <= limit && int(n) <= len(want)-4 {
						t.Fatalf("a whole frame of %d bytes was refused: %v", n, err)
					}
				}
				return
			}
			n := int(binary.BigEndian.Uint32(want))
			if !bytes.Equal(want[4:4+n], frame) {
				t.Fatal("another frame than the stream's")
			}
			want = want[4+n:]
		}
	})
}

// allocated returns the bytes allocated since the start of the process. It is cheap, and exact for large objects; the
// runtime counts small objects with a delay.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// pieces gives a stream in pieces of one size.
type pieces struct {
	rest  []byte
	size  int
	reads int
}

func (p *pieces) Read(b []byte) (int, error) {
	p.reads++
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.rest[:min(len(p.rest), p.size)])
	p.rest = p.rest[n:]
	return n, nil
}
