package statechart

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheChartOfTheExampleIsRead(t *testing.T) {
	all, err := Parse("door has two states:\n\n" +
		"\tclosed            open\n" +
		"\t  |                 |\n" +
		"\t  |----- Open ----->|    waits for the handshake\n" +
		"\t  |<---- Close -----|\n" +
		"\t  @ Close           @ Write\n")
	require.NoError(t, err)
	require.Equal(t, []Transition{
		{"closed", "Open", "open"}, {"open", "Close", "closed"}, {"closed", "Close", "closed"},
		{"open", "Write", "open"},
	}, all)
}

func TestArrowsMayShareARowAndCrossAColumn(t *testing.T) {
	all, err := Parse("" +
		"\ta       b       c\n" +
		"\t|       |       |\n" +
		"\t|-- x ->|-- y ->|\n" +
		"\t|<----- z ------|\n" +
		"\n\td    e\n\t|    |\n\t@ x  @ y\n")
	require.NoError(t, err)
	require.Equal(t, []Transition{
		{"a", "x", "b"}, {"b", "y", "c"}, {"c", "z", "a"}, {"d", "x", "d"}, {"e", "y", "e"},
	}, all)
}

func TestWrongChartsAreRefused(t *testing.T) {
	const head = "\ta       b\n\t|       |\n"
	for name, text := range map[string]string{
		"is no chart":                          "text\n",
		"has a state without a column":         "\ta       b\n\t|\n",
		"has an arrow without a head":          head + "\t|-- x --|\n",
		"has an arrow with two heads":          head + "\t|<- x ->|\n",
		"has an arrow that ends beside":        head + "\t|- x ->|\n",
		"has a word between the columns":       head + "\t|   x   |\n",
		"has a letter in place of an arrow":    head + "\tx       |\n",
		"has an arrow twice":                   head + "\t|-- x ->|\n\t|-- x ->|\n",
		"has an arrow without a method":        head + "\t|------>|\n",
		"has two words at one arrow":           head + "\t|- x y >|\n",
		"has a method that keeps, in no place": head + "\t| @ x   |\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(text)
			require.Error(t, err)
		})
	}
}

func TestATypeThatIsNotThereIsAnError(t *testing.T) {
	_, err := OfType("statechart.go", "missing")
	require.ErrorContains(t, err, "no type missing")
	_, err = OfType("missing.go", "missing")
	require.Error(t, err)
	_, err = OfType("statechart.go", "Transition")
	require.ErrorContains(t, err, "no chart")
}
