package compress_test

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/gosamsa/samsa/compress"
)

func Example() {
	codec, err := compress.ParseCodec("zstd")
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := compress.NewCompressor(codec, codec.DefaultLevel())
	if err != nil {
		fmt.Println(err)
		return
	}
	data := bytes.Repeat([]byte("one morning "), 1000)
	packed, err := c.Compress(nil, data)
	if err != nil {
		fmt.Println(err)
		return
	}
	back, err := compress.Decompress(nil, int8(codec), packed, 1<<20)
	fmt.Println(len(packed) < 100, bytes.Equal(data, back), err)
	// Output: true true <nil>
}

// Data from elsewhere may be much larger than it looks: the limit bounds its decompressed form.
func ExampleDecompress() {
	c, err := compress.NewCompressor(compress.Gzip, 9)
	if err != nil {
		fmt.Println(err)
		return
	}
	bomb, err := c.Compress(nil, make([]byte, 2<<20))
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = compress.Decompress(nil, int8(compress.Gzip), bomb, 1<<20)
	fmt.Println(errors.Is(err, compress.ErrTooLarge), err)
	// Output: true compress: gzip: decompressed data is larger than allowed: 1048576 bytes
}

func ExampleCodec_CheckLevel() {
	fmt.Println(compress.LZ4.DefaultLevel(), compress.LZ4.CheckLevel(18))
	// Output: 9 compress: lz4 has levels 1 to 17, got 18
}
