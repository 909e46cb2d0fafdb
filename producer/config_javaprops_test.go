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

// TestFilesReadAsInJava compares with java.util.Properties; testdata/properties/Vectors.java describes the origin of
// the vectors.
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
			// The last line may consist of a continuation only. Java reads it as an empty name; Samsa ignores it.
			want = strings.TrimPrefix(strings.TrimPrefix(want, "-=-"), " ")
		}
		require.Equal(t, want, got, "file %q", contents)
		compared++
	}
	require.Greater(t, compared, 800)
}

// propertiesRead reads a file and prints it as the vectors do.
func propertiesRead(file string) string {
	f := configParseJavaProperties(file)
	if len(f.problems) > 0 {
		return "error"
	}
	m := f.values
	var pairs []string
	for _, k := range slices.SortedFunc(maps.Keys(m),
		func(a, b string) int { return strings.Compare(propertiesHex(a), propertiesHex(b)) }) {
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
	require.Equal(t, map[string]string{"acks": "all"}, configParseJavaProperties("\ufeffacks=all").values)
}

func TestSyntaxErrorsNameTheLineAndNoContent(t *testing.T) {
	for file, says := range map[string]struct {
		line    int
		problem string
	}{
		"a=1\n\n# c\nb=secret\\u00":       {4, "\\u needs four"},
		"a=1\rb=\\\n  x\\\r\n secret\\uz": {2, "\\u needs four"},
		"\\u12=secret":                    {1, "\\u needs four"},
		"a=1\nb=secret\xff":               {2, "not UTF-8"},
		"\xffa=secret":                    {1, "not UTF-8"},
	} {
		problems := configParseJavaProperties(file).problems
		require.Len(t, problems, 1, "%q", file)
		require.Equal(t, says.line, problems[0].Line, "%q", file)
		require.Contains(t, problems[0].Problem, says.problem, "%q", file)
		require.NotContains(t, problems.Error(), "secret")
	}
	require.Empty(t, configParseJavaProperties("# caf\xe9 in a comment hurts nobody\na=1").problems)
}

func TestHalfASurrogatePairIsReplaced(t *testing.T) {
	require.Equal(t, map[string]string{"a": "\ufffd b\ufffd"}, configParseJavaProperties(`a=\uD83D b\uDD11`).values)
}

// propertiesFile writes properties in a form that reads back.
func propertiesFile(m map[string]string) string {
	escape := strings.NewReplacer("\\", "\\\\", " ", "\\ ", "\t", "\\t", "\n", "\\n", "\r", "\\r", "\f", "\\f", "=",
		"\\=", ":", "\\:", "#", "\\#", "!", "\\!",
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
		f := configParseJavaProperties(file)
		for _, e := range f.problems {
			require.Positive(t, e.Line+len(e.Problem))
		}
		if len(f.problems) > 0 {
			return
		}
		m := f.values
		for k, v := range m {
			require.True(t, utf8.ValidString(k))
			require.True(t, utf8.ValidString(v))
		}
		again := configParseJavaProperties(propertiesFile(m))
		require.Empty(t, again.problems)
		require.Equal(t, m, again.values)

		if c, err := ParseProperties(m); err == nil {
			if len(c.BootstrapServers) == 0 {
				c.BootstrapServers = []string{"localhost:9092"}
			}
			require.NoError(t, c.Validate(), "what was accepted is right")
		}
	})
}
