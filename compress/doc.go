// Package compress holds Kafka's codecs with their levels (KIP-390): gzip, snappy, lz4 and zstd, each written as the Java
// client writes it and read as brokers and other clients write it.
//
// It knows nothing of records and batches, decides nothing about when to compress, and starts no goroutine.
//
//	c, err := compress.NewCompressor(compress.Zstd, compress.Zstd.DefaultLevel())
//	packed, err := c.Compress(nil, data)
//	data, err = compress.Decompress(nil, int8(compress.Zstd), packed, 1<<20)
//
// A [Compressor] owns the codec states that it reuses. [Decompress] takes bytes from anywhere: it never returns more than it
// was allowed to, and allocates by what the bytes can hold, not by what they claim.
package compress
