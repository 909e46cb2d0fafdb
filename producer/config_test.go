package producer

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The expected columns of the table of options. They are written out here, so that a change of the table needs a change
// of the test.
func TestDefaultConfigIsTheModernColumn(t *testing.T) {
	c := DefaultConfig("b1:9092", "b2:9092")
	require.Equal(t, []string{"b1:9092", "b2:9092"}, c.BootstrapServers)
	require.Equal(t, AcksAll, c.Acks)
	require.Equal(t, 60*time.Second, c.MaxBlock)
	require.EqualValues(t, 33554432, c.BufferMemory)
	require.Equal(t, CompressionNone, c.Compression)
	require.Equal(t, 2147483647, c.Retries)
	require.Equal(t, 16384, c.BatchSize)
	require.Equal(t, 5*time.Millisecond, c.Linger)
	require.Equal(t, 1048576, c.MaxRequestSize)
	require.Equal(t, 30*time.Second, c.RequestTimeout)
	require.Equal(t, 5, c.MaxInFlight)
	require.True(t, c.EnableIdempotence)
	require.Equal(t, 2*time.Minute, c.DeliveryTimeout)
	require.Equal(t, MetadataRecoveryRebootstrap, c.MetadataRecoveryStrategy)
	require.True(t, c.AllowAutoCreateTopics)
	require.Equal(t, -1, c.SendBuffer, "Kafka has 131072; see the field's comment")
	require.NoError(t, c.Validate())
}

func TestClassicConfigIsTheClassicColumn(t *testing.T) {
	c := ClassicConfig("b1:9092")
	want := DefaultConfig("b1:9092")
	want.Acks = AcksLeader
	want.Retries = 0
	want.Linger = 0
	want.EnableIdempotence = false
	want.MetadataRecoveryStrategy = MetadataRecoveryNone
	want.SendBuffer = 131072
	want.TopicMetadataPropagationMax = -time.Millisecond
	require.Equal(t, want, c)
	require.NoError(t, c.Validate())
}

func TestConfigKeepsNothingOfTheCallersSlices(t *testing.T) {
	servers := []string{"a:1", "b:2"}
	modern, classic := DefaultConfig(servers...), ClassicConfig(servers...)
	servers[0] = "x:9"
	require.Equal(t, "a:1", modern.BootstrapServers[0])
	require.Equal(t, "a:1", classic.BootstrapServers[0])

	modern.Interceptors = []Interceptor{&spyInterceptor{}}
	c := modern.clone()
	require.Equal(t, modern, c)
	modern.BootstrapServers[0] = "y:9"
	modern.Interceptors[0] = nil
	require.Equal(t, "a:1", c.BootstrapServers[0])
	require.NotNil(t, c.Interceptors[0])
}

func TestEveryConfigFieldIsInTheTableOrOnlyGos(t *testing.T) {
	var c Config
	v := reflect.ValueOf(&c).Elem()
	var fields []string
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() {
			fields = append(fields, f.Name)
		}
	}
	var known []string
	for i := range configOptions {
		o := &configOptions[i]
		known = append(known, o.field)
		require.Equal(t, v.FieldByName(o.field).Addr().Interface(), o.ptr(&c), o.field)
		require.Same(t, v.FieldByName(o.field).Addr().Interface(), o.ptr(&c), o.field)
		require.NotEmpty(t, o.meaning, o.property)
	}
	for _, g := range configGoFields {
		known = append(known, g.field)
	}
	require.Equal(t, fields, known)
}

func TestConfigCommentsStateTheTable(t *testing.T) {
	comments := configComments(t)
	for i := range configOptions {
		o := &configOptions[i]
		comment := comments[o.field]
		require.True(t, strings.HasPrefix(comment, o.field+" "), "the comment of %s begins with its name", o.field)
		require.True(t, strings.HasSuffix(comment, configCommentEnd(o)),
			"the comment of %s ends with:\n%s\nbut is:\n%s", o.field, configCommentEnd(o), comment)
	}
	for _, g := range configGoFields {
		require.True(t, strings.HasPrefix(comments[g.field], g.field+" "), "the comment of %s begins with its name",
			g.field)
		require.NotContains(t, comments[g.field], "Property ")
	}
}

// withoutTheme removes the heading of a theme from the comment of the theme's first field.
func withoutTheme(comment string) string {
	if _, rest, is := strings.Cut(comment, "\n\n"); is && strings.HasPrefix(comment, "# ") {
		return rest
	}
	return comment
}

// configCommentEnd is the last line of a field's comment.
func configCommentEnd(o *configOption) string {
	end := "Property " + o.property
	if o.modern == "" {
		end += ", no default"
	} else {
		end += ", default " + o.modern
	}
	if o.classic != "" {
		end += ", classic " + o.classic
	}
	return end + ", range " + o.rangeText() + "."
}

// configComments reads the comments of Config's fields, one line each.
func configComments(t *testing.T) map[string]string {
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", nil, parser.ParseComments)
	require.NoError(t, err)
	comments := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || spec.Name.Name != "Config" {
			return true
		}
		for _, f := range spec.Type.(*ast.StructType).Fields.List {
			for _, name := range f.Names {
				comments[name.Name] = strings.Join(strings.Fields(withoutTheme(f.Doc.Text())), " ")
			}
		}
		return false
	})
	require.NotEmpty(t, comments)
	return comments
}

func TestAcksReadAsInProperties(t *testing.T) {
	require.Equal(t, "all", AcksAll.String())
	require.Equal(t, "1", AcksLeader.String())
	require.Equal(t, "0", AcksNone.String())
	require.Equal(t, "7", Acks(7).String())
}

func TestConfigErrorNamesPropertyFieldAndValue(t *testing.T) {
	require.Equal(t, `samsa: linger.ms (Config.Linger) = "-5ms": too little`,
		(&ConfigError{Property: "linger.ms", Field: "Linger", Value: "-5ms", Problem: "too little"}).Error())
	require.Equal(t, `samsa: ssl.protocol: no TLS`, (&ConfigError{Property: "ssl.protocol", Problem: "no TLS"}).Error())
	require.Equal(t, `samsa: Config.Interceptors: nil`, (&ConfigError{Field: "Interceptors", Problem: "nil"}).Error())
	long := (&ConfigError{Property: "acks", Field: "Acks", Value: strings.Repeat("x", 10000), Problem: "wrong"}).Error()
	require.Less(t, len(long), 300)
}

func TestNoticesAreLoggedOnceEach(t *testing.T) {
	c, err := ParseProperties(map[string]string{"acks": "1", "key.serializer": "", "metric.reporters": "y"})
	require.NoError(t, err)
	notices := c.Warnings()
	require.Len(t, notices, 2)
	require.Contains(t, notices[0], "enable.idempotence was not written and is now false")
	require.Contains(t, notices[0], "Acks (acks)")
	require.Contains(t, notices[1], "key.serializer, metric.reporters")

	var log strings.Builder
	c.logNotices(slog.New(slog.NewTextHandler(&log, nil)))
	require.Equal(t, 2, strings.Count(log.String(), "\n"), log.String())
	require.Contains(t, log.String(), "level=WARN")
	require.Contains(t, log.String(), "level=INFO")
	for _, name := range []string{"enable.idempotence", "key.serializer", "metric.reporters"} {
		require.Equal(t, 1, strings.Count(log.String(), name), name)
	}
	c.logNotices(nil) // silent
	require.Empty(t, DefaultConfig().Warnings())
}

// configErrors lists the problems in a joined error.
func configErrors(t testing.TB, err error) []*ConfigError {
	t.Helper()
	require.Error(t, err)
	var list []*ConfigError
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		t.Fatalf("not joined: %v", err)
	}
	for _, e := range joined.Unwrap() {
		var one *ConfigError
		require.ErrorAs(t, e, &one)
		list = append(list, one)
	}
	return list
}

// configOneError requires exactly one problem and returns it.
func configOneError(t testing.TB, err error) *ConfigError {
	t.Helper()
	list := configErrors(t, err)
	require.Len(t, list, 1, "%v", err)
	return list[0]
}
