// Package compress holds Kafka's codecs with their levels (KIP-390): gzip, snappy, lz4 and zstd, each written as the
// Java client writes it and read as brokers and other clients write it.
//
// It knows nothing of records and batches, decides nothing about when to compress, and starts no goroutine.
//
//	c, err := compress.NewCompressor(compress.Zstd, compress.Zstd.DefaultLevel())
//	packed, err := c.Compress(nil, data)
//	data, err = compress.Decompress(nil, int8(compress.Zstd), packed, 1<<20)
//
// A [Compressor] owns its reusable codec states, as many as run at one time. [Decompress] takes bytes from anywhere: it
// never exceeds its limit, and allocates by the possible contents of the bytes, not by their claims.
//
// The meaning of the levels here, and the memory of one codec state:
//
//	codec   level          means                                             memory
//	gzip    -1 (default)   as 5, which comes out near zlib's 6               1.1 MiB
//	        1 to 9         the library's levels, near zlib's                 0.8 to 1.4 MiB
//	snappy  none           blocks of 256 KiB in xerial's framing              40 KiB
//	lz4     9 (default)    the fast compressor, as in Kafka                  0.1 MiB
//	        others         high compression, 2^(level-1) tries a position    0.3 MiB
//	zstd    below 3        fastest, near zstd's 1                            0.3 to 0.9 MiB
//	        3 to 5         default, near zstd's 3 (3 is the default)         1.4 to 2.1 MiB
//	        6 to 9         better, near zstd's 7                             5 MiB
//	        10 to 22       best, near zstd's 11                              36 MiB
//
// On records of JSON and on logs zstd's level 1 is about as small as level 3 and much faster. Level 9 being lz4's
// fastest is Kafka's choice; lower levels are slower, and the lowest are not smaller.
package compress
