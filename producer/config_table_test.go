package producer

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

// javaOption is an option of the Java producer; testdata/options/Options.java tells how the file was made.
type javaOption struct{ name, kind, std, values string }

func javaOptions(t testing.TB) map[string]javaOption {
	text, err := os.ReadFile("testdata/options/options.tsv")
	require.NoError(t, err)
	options := map[string]javaOption{}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(strings.TrimRight(line, "\n"), "\t")
		require.Len(t, f, 4, line)
		options[f[0]] = javaOption{f[0], f[1], f[2], f[3]}
	}
	require.Greater(t, len(options), 100)
	return options
}

func TestDefaultsAndRangesAreTheJavaProducers(t *testing.T) {
	java := javaOptions(t)
	own := map[string]string{ // the difference, and its reason
		"client.id":                              "Java makes a name for each producer",
		"bootstrap.servers":                      "required there and here; its range is judged server by server",
		"connections.max.idle.ms":                "Java names no range",
		"socket.connection.setup.timeout.ms":     "Java names no range",
		"socket.connection.setup.timeout.max.ms": "Java names no range",
		"allow.auto.create.topics":               "Java's producer has no such switch",
		"topic.metadata.propagation.max.ms":      "librdkafka's",
		"receive.buffer.bytes":                   "Java takes 0 and fails at its first connection",
		"send.buffer.bytes":                      "Java's keeps the system from letting the buffer grow; Java's is classic here",
	}
	for i := range configOptions {
		o := &configOptions[i]
		theirs, known := java[o.property]
		require.Equal(t, o.property != "allow.auto.create.topics" && o.property != "topic.metadata.propagation.max.ms",
			known, o.property)
		if own[o.property] == "" {
			require.Equal(t, theirs.std, o.modern, o.property)
			require.Equal(t, javaRange(theirs), configJavaRange(o), o.property)
		}
	}
	require.Equal(t, "540000", java["connections.max.idle.ms"].std)
	require.Equal(t, "10000", java["socket.connection.setup.timeout.ms"].std)
	require.Equal(t, "30000", java["socket.connection.setup.timeout.max.ms"].std)
	require.Equal(t, java["receive.buffer.bytes"].std, strconv.Itoa(DefaultConfig().ReceiveBuffer))
	require.Equal(t, java["send.buffer.bytes"].std, strconv.Itoa(ClassicConfig().SendBuffer))
}

// javaRange returns Java's range in one spelling: enumerations in Java's order and in lower case, and without the
// largest int.
func javaRange(o javaOption) string {
	if o.kind == "BOOLEAN" {
		return "[true, false]"
	}
	return strings.ToLower(strings.TrimPrefix(strings.Replace(o.values, ",...,2147483647]", ",...]", 1),
		"(case insensitive) "))
}

func configJavaRange(o *configOption) string {
	switch {
	case o.values != nil:
		return "[" + strings.Join(o.values, ", ") + "]"
	case o.property == "compression.gzip.level":
		return "[1,...,9] or -1"
	case o.format != "":
		return "[" + strings.Replace(o.format, " to ", ",...,", 1) + "]"
	}
	return fmt.Sprintf("[%d,...]", o.min)
}

func TestEveryJavaPropertyIsKnown(t *testing.T) {
	for name, o := range javaOptions(t) {
		if configOptionOf(name) != nil {
			continue
		}
		_, problem := configForeignProperty(name, o.std)
		if problem != nil {
			require.NotContains(t, problem.Error(), "unknown", name)
		}
	}
	for _, younger := range []string{"bootstrap.resolve.timeout.ms", "buffer.memory.allocation.strategy", "client.rack",
		"metadata.cluster.check.enable"} {
		ignored, problem := configForeignProperty(younger, "x")
		require.Nil(t, problem, younger)
		require.True(t, ignored, younger)
	}
}

func TestTableNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range configKnownNames() {
		require.False(t, seen[name], name)
		seen[name] = true
	}
}

func TestADefaultOutsideItsRangeIsFoundAtOnce(t *testing.T) {
	require.Panics(t, func() { configFromTable(func(*configOption) string { return "-77" }) })
}

var updateReadme = flag.Bool("update-readme", false, "write the options table into README.md")

const (
	readmeBegin = "<!-- options:begin -->\n"
	readmeEnd   = "<!-- options:end -->"
)

// TestReadmeShowsTheTable compares the README's options with the table; -update-readme writes them.
func TestReadmeShowsTheTable(t *testing.T) {
	const path = "../README.md"
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return // every value is valid
	}
	require.NoError(t, err)
	section, err := readmeSection(string(text))
	require.NoError(t, err)
	if *updateReadme {
		updated := strings.Replace(string(text), readmeBegin+section, readmeBegin+configMarkdown(), 1)
		require.NoError(t, os.WriteFile(path, []byte(updated), 0o644))
		return
	}
	require.Equal(t, configMarkdown(), section,
		"README.md differs from the table; go test ./producer -run TestReadmeShowsTheTable -update-readme writes it")
}

// readmeSection is the text between the markers.
func readmeSection(readme string) (string, error) {
	_, rest, found := strings.Cut(strings.ReplaceAll(readme, "\r\n", "\n"), readmeBegin)
	section, _, ended := strings.Cut(rest, readmeEnd)
	if !found || !ended {
		return "", fmt.Errorf("README.md has no %q and %q", readmeBegin, readmeEnd)
	}
	return section, nil
}

// configMarkdown is the table as the README shows it: one table for each theme.
func configMarkdown() string {
	var b strings.Builder
	row := func(field string, cells ...string) {
		for _, theme := range configThemes {
			if theme.first == field {
				b.WriteString("\n**" + theme.name + "**\n\n")
				b.WriteString("| property | `Config` field | default | classic | range | meaning |\n|---|---|---|---|---|---|\n")
			}
		}
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	for i := range configOptions {
		o := &configOptions[i]
		std, classic := o.modern, o.classicDefault()
		if std == "" {
			std, classic = "–", "–"
		}
		row(o.field, "`"+o.property+"`", "`"+o.field+"`", std, classic, o.rangeText(), o.meaning)
	}
	for _, g := range configGoFields {
		row(g.field, "–", "`"+g.field+"`", g.std, g.std, "", g.meaning)
	}
	return b.String() + "\n"
}

// TestConfigIsInTheOrderOfItsThemes compares Config's fields and headings with the table and the themes.
func TestConfigIsInTheOrderOfItsThemes(t *testing.T) {
	text, err := os.ReadFile("config.go")
	require.NoError(t, err)
	_, body, found := strings.Cut(string(text), "\ntype Config struct {\n")
	require.True(t, found)
	body, _, _ = strings.Cut(body, "\n}\n")
	var inConfig, want []string
	for line := range strings.Lines(body) {
		line = strings.TrimSpace(line)
		if heading, is := strings.CutPrefix(line, "// # "); is {
			inConfig = append(inConfig, "# "+heading)
		} else if field, _, _ := strings.Cut(line, " "); field != "" && unicode.IsUpper(rune(field[0])) {
			inConfig = append(inConfig, field)
		}
	}
	add := func(field string) {
		for _, theme := range configThemes {
			if theme.first == field {
				want = append(want, "# "+theme.name)
			}
		}
		want = append(want, field)
	}
	for i := range configOptions {
		add(configOptions[i].field)
	}
	for _, g := range configGoFields {
		add(g.field)
	}
	require.Equal(t, want, inConfig)
	page, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	at := 0
	for _, theme := range configThemes {
		next := strings.Index(string(page)[at:], "//   - "+theme.name+": ")
		require.NotEqual(t, -1, next, "doc.go lacks the theme %q, or has it in another order", theme.name)
		at += next
	}
}

func TestMarkdownHasARowForEachField(t *testing.T) {
	lines := strings.Split(strings.TrimSuffix(configMarkdown(), "\n\n"), "\n")
	require.Len(t, lines, 5*len(configThemes)+len(configOptions)+len(configGoFields))
	require.Contains(t, lines, "| `linger.ms` | `Linger` | 5 | 0 | 0 or more | how long a batch that is not full waits for more records; a full one is sent at once |")
	require.Contains(t, lines, "| `batch.size` | `BatchSize` | 16384 | 16384 | 0 to 2147483647 | "+configOptionOf(
		"batch.size").meaning+" |")
	for _, line := range lines {
		if strings.HasPrefix(line, "|") {
			require.Equal(t, 7, strings.Count(line, "|"), line)
		}
	}
}

func TestReadmeSectionIsBetweenTheMarkers(t *testing.T) {
	section, err := readmeSection("# Samsa\n<!-- options:begin -->\n| a |\n| b |\n<!-- options:end -->\nrest")
	require.NoError(t, err)
	require.Equal(t, "| a |\n| b |\n", section)
	_, err = readmeSection("# Samsa\n<!-- options:begin -->\n| a |")
	require.Error(t, err)
	_, err = readmeSection("# Samsa")
	require.Error(t, err)
}
