package producer

import (
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// TestFilesReadAsInJava compares with what java.util.Properties read; testdata/properties/Vectors.java tells how it was made.
func TestFilesReadAsInJava(t *testing.T) {
	text, err := os.ReadFile("testdata/properties/vectors.txt")
	require.NoError(t, err)
	compared := 0
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		file, want, _ := strings.Cut(strings.TrimRight(line, "\n"), " ")
		contents := propertiesUnhex(t, file)
		got := propertiesRead(contents)
		if strings.HasSuffix(strings.TrimRight(contents, "\n"), `\`) && !strings.HasPrefix(got, "-=-") {
			// Of a line that only continues into the end of the file Java makes an empty name; here it is nothing.
			want = strings.TrimPrefix(strings.TrimPrefix(want, "-=-"), " ")
		}
		require.Equal(t, want, got, "file %q", contents)
		compared++
	}
	require.Greater(t, compared, 800)
}

// propertiesRead reads a file and prints it as the vectors do.
func propertiesRead(file string) string {
	m, err := configParseJavaProperties(file)
	if err != nil {
		return "error"
	}
	var pairs []string
	for _, k := range slices.SortedFunc(maps.Keys(m), func(a, b string) int { return strings.Compare(propertiesHex(a), propertiesHex(b)) }) {
		pairs = append(pairs, propertiesHex(k)+"="+propertiesHex(m[k]))
	}
	return strings.Join(pairs, " ")
}

func propertiesHex(s string) string {
	if s == "" {
		return "-"
	}
	return hex.EncodeToString([]byte(s))
}

func propertiesUnhex(t *testing.T, s string) string {
	if s == "-" {
		return ""
	}
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return string(b)
}

func TestAByteOrderMarkIsNoPartOfTheFirstName(t *testing.T) {
	m, err := configParseJavaProperties("\ufeffacks=all")
	require.NoError(t, err)
	require.Equal(t, map[string]string{"acks": "all"}, m)
}

func TestSyntaxErrorsNameTheLineAndNoContent(t *testing.T) {
	for file, says := range map[string]string{
		"a=1\n\n# c\nb=secret\\u00":       "line 4: an escape \\u needs four",
		"a=1\rb=\\\n  x\\\r\n secret\\uz": "line 2: an escape",
		"\\u12=secret":                    "line 1: an escape",
		"a=1\nb=secret\xff":               "line 2: not UTF-8",
		"\xffa=secret":                    "line 1: not UTF-8",
	} {
		_, err := configParseJavaProperties(file)
		require.ErrorContains(t, err, says, "%q", file)
		require.NotContains(t, err.Error(), "secret")
	}
	_, err := configParseJavaProperties("# caf\xe9 in a comment hurts nobody\na=1")
	require.NoError(t, err)
}

func TestHalfASurrogatePairIsReplaced(t *testing.T) {
	m, err := configParseJavaProperties(`a=\uD83D b\uDD11`)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"a": "\ufffd b\ufffd"}, m)
}

// propertiesFile writes properties so that they read back.
func propertiesFile(m map[string]string) string {
	escape := strings.NewReplacer("\\", "\\\\", " ", "\\ ", "\t", "\\t", "\n", "\\n", "\r", "\\r", "\f", "\\f", "=", "\\=", ":", "\\:", "#", "\\#", "!", "\\!",
		"\ufeff", "\\ufeff")
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&b, "%s=%s\n", escape.Replace(k), escape.Replace(m[k]))
	}
	return b.String()
}

func FuzzJavaProperties(f *testing.F) {
	f.Add("bootstrap.servers=localhost:9092\nacks = all\nlinger.ms: 5\n# end")
	f.Add("a\\\n  b=c\\u0041\\\r\n\\t")
	f.Add("\ufeff!x\n\\ :=\\\\\\\n")
	f.Add("k=\\uD83D\\uDD11\\uD83D")
	f.Fuzz(func(t *testing.T, file string) {
		m, err := configParseJavaProperties(file)
		if err != nil {
			require.Nil(t, m)
			return
		}
		for k, v := range m {
			require.True(t, utf8.ValidString(k))
			require.True(t, utf8.ValidString(v))
		}
		again, err := configParseJavaProperties(propertiesFile(m))
		require.NoError(t, err)
		require.Equal(t, m, again)

		if c, err := ParseProperties(m); err == nil {
			if len(c.Servers) == 0 {
				c.Servers = []string{"localhost:9092"}
			}
			require.NoError(t, c.Validate(), "what was accepted is right")
		}
	})
}
