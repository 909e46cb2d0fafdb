package compress

import (
	"fmt"
	"strings"
)

// Codec is a compression codec, numbered as in the attributes of a record batch.
type Codec int8

// The codecs of compression.type.
const (
	None   Codec = 0
	Gzip   Codec = 1
	Snappy Codec = 2
	LZ4    Codec = 3
	Zstd   Codec = 4
)

// codecs holds the differences: the names of compression.type, and the levels of compression.<name>.level with their
// defaults.
var codecs = [...]struct {
	name           string
	min, max, std  int
	levels         bool
	alsoTheDefault bool // the default lies outside min and max
}{
	None:   {name: "none"},
	Gzip:   {name: "gzip", min: 1, max: 9, std: -1, levels: true, alsoTheDefault: true},
	Snappy: {name: "snappy"},
	LZ4:    {name: "lz4", min: 1, max: 17, std: 9, levels: true},
	Zstd:   {name: "zstd", min: -131072, max: 22, std: 3, levels: true},
}

func (c Codec) known() bool { return c >= None && int(c) < len(codecs) }

// String returns the codec's name in compression.type.
func (c Codec) String() string {
	if !c.known() {
		return fmt.Sprintf("codec(%d)", int8(c))
	}
	return codecs[c].name
}

// ParseCodec returns the codec of a name in compression.type, as Kafka writes it: none, gzip, snappy, lz4 or zstd.
func ParseCodec(name string) (Codec, error) {
	names := make([]string, len(codecs))
	for c := range codecs {
		if codecs[c].name == name {
			return Codec(c), nil
		}
		names[c] = codecs[c].name
	}
	return None, fmt.Errorf("compress: no codec %q; there are %s", name, strings.Join(names, ", "))
}

// DefaultLevel returns Kafka's level for a producer without one (KIP-390): gzip -1, lz4 9, zstd 3. None and snappy have
// no levels; theirs is 0.
func (c Codec) DefaultLevel() int {
	if !c.known() {
		return 0
	}
	return codecs[c].std
}

// CheckLevel reports whether the codec has the level: gzip -1 (the library's default) and 1 to 9, lz4 1 to 17, zstd
// -131072 to 22. None and snappy have no levels and take 0 only.
func (c Codec) CheckLevel(level int) error {
	if !c.known() {
		return fmt.Errorf("compress: unknown %s", c)
	}
	d := &codecs[c]
	switch {
	case !d.levels:
		if level != 0 {
			return fmt.Errorf("compress: %s has no levels, got %d", c, level)
		}
	case d.alsoTheDefault && level == d.std:
	case level < d.min || level > d.max:
		if d.alsoTheDefault {
			return fmt.Errorf("compress: %s has levels %d to %d and %d for the default, got %d", c, d.min, d.max, d.std,
				level)
		}
		return fmt.Errorf("compress: %s has levels %d to %d, got %d", c, d.min, d.max, level)
	}
	return nil
}
