package producer

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const (
	configNoPlaceholder = "a placeholder stays as it is here: write the value itself"
	configNoQuotes      = "write it without quotes"
	configNoComment     = "a comment needs a line of its own"
)

const configQuotes = "\"'`“”„"

// cure returns advice for a value that store refuses: the usual mistake behind it, and the value that the user most
// likely meant. The advice is empty if the value has no clear meaning.
func (o *configOption) cure(text string) string {
	switch {
	case text == "" && o.modern != "":
		return "write a value, or remove the property for its default, " + o.modern
	case text == "":
		return ""
	case strings.Contains(text, "${"):
		return configNoPlaceholder
	}
	var cure []string
	meant, comment, _ := strings.Cut(text, "#")
	if comment != "" {
		cure = append(cure, configNoComment)
	}
	meant = strings.TrimRight(configTrim(meant), ";,")
	if strings.ContainsAny(meant, configQuotes) {
		cure = append(cure, configNoQuotes)
		meant = strings.Trim(meant, configQuotes)
	}
	for _, guess := range []string{meant, o.guess(meant)} {
		if guess != "" && guess != text && o.store(new(Config), guess) == "" {
			return strings.Join(append(cure, "did you mean "+guess+"?"), ": ")
		}
	}
	return ""
}

// guess returns the most likely meaning of a text in another syntax.
func (o *configOption) guess(text string) string {
	switch o.ptr(new(Config)).(type) {
	case *[]string, *string:
		return ""
	case *int, *int64, *time.Duration:
		return o.guessNumber(text)
	}
	word := strings.ToLower(text)
	if slices.Equal(o.values, configBool) {
		for _, known := range configBool {
			if slices.Contains(configBoolWords[known], word) {
				return known
			}
		}
	}
	if o.field == "Acks" && configAcksWords[word] != "" {
		return configAcksWords[word]
	}
	if strings.ContainsFunc(word, unicode.IsLetter) {
		return configNearestOf(word, o.values)
	}
	return ""
}

// configBoolWords are the words of other syntaxes and languages for true and false.
var configBoolWords = map[string][]string{
	"true": {"yes", "on", "1", "y", "t", "enable", "enabled", "ja", "wahr", "oui", "vrai", "si", "sí", "verdadero",
		"sim"},
	"false": {"no", "off", "0", "n", "f", "disable", "disabled", "nein", "falsch", "non", "faux", "falso", "não"},
}

// configAcksWords are other clients' words for acks.
var configAcksWords = map[string]string{"none": "0", "leader": "1", "one": "1"}

// guessNumber reads a number with a unit, a separator of thousands, a fraction of zeros, or another base.
func (o *configOption) guessNumber(text string) string {
	number := strings.ToLower(strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || r == '_' || r == '’' || r == '\'' {
			return -1
		}
		return r
	}, text))
	switch number {
	case "integer.maxvalue":
		return strconv.Itoa(math.MaxInt32)
	case "long.maxvalue":
		return strconv.FormatInt(math.MaxInt64, 10)
	}
	number = configWithoutThousands(number)
	if n, err := strconv.ParseInt(number, 0, 64); err == nil {
		return strconv.FormatInt(n, 10)
	}
	if d, err := time.ParseDuration(number); err == nil && o.unit() == " (ms)" {
		return configWhole(float64(d) / float64(time.Millisecond))
	}
	end := strings.LastIndexAny(number, "0123456789.") + 1
	value, err := strconv.ParseFloat(number[:end], 64)
	if err != nil {
		return ""
	}
	return configWhole(value * o.factor(number[end:]))
}

// factor returns the size of a unit, in the unit of the option; NaN if the option cannot have this unit.
func (o *configOption) factor(unit string) float64 {
	if unit == "" {
		return 1
	}
	if o.bytes {
		unit = strings.TrimSuffix(unit, "s")
		for i, size := range [...]string{"byte b", "kb kib k", "mb mib m", "gb gib g"} {
			if slices.Contains(strings.Fields(size), unit) {
				return math.Pow(1024, float64(i))
			}
		}
		return math.NaN()
	}
	if size, ok := configTimeUnits[unit]; ok && o.unit() != "" {
		return size
	}
	return math.NaN()
}

// configTimeUnits are units missing in time.ParseDuration, in milliseconds.
var configTimeUnits = map[string]float64{
	"msec": 1, "millis": 1, "millisecond": 1, "milliseconds": 1, "sec": 1e3, "secs": 1e3, "second": 1e3, "seconds": 1e3,
	"min": 60e3, "mins": 60e3, "minute": 60e3, "minutes": 60e3, "hr": 3600e3, "hour": 3600e3, "hours": 3600e3,
	"d": 86400e3, "day": 86400e3, "days": 86400e3,
}

// configWithoutThousands removes the commas between thousands. It keeps other commas, because they may be decimal
// points.
func configWithoutThousands(number string) string {
	groups := strings.Split(number, ",")
	for _, group := range groups[1:] {
		if len(group) != 3 {
			return number
		}
	}
	return strings.Join(groups, "")
}

// configWhole writes a whole number, or returns "" for any other number.
func configWhole(value float64) string {
	if value != math.Trunc(value) || math.Abs(value) > 1<<53 {
		return ""
	}
	return strconv.FormatInt(int64(value), 10)
}
