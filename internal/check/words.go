package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
)

// The limits of the stage words. A relative pronoun often replaces a noun, and the reader then has to find the noun.
const (
	maxRelatives = 20 // a thousand words
	maxWho       = 1  // a thousand words

	// Every text may have this many, however short it is: one sentence with a quotation, or with a "that" after a verb,
	// would otherwise put the comments of a small package above the limit.
	freeRelatives = 3
	freeWho       = 1

	maxPlaces = 10 // listed for each text above a limit
)

// The rule is a count, so a "that" counts as a conjunction, too.
var (
	relatives = wordSet("who whom whose whoever which that what whatever where wherever")
	persons   = wordSet("who whom whoever")
)

func wordSet(words string) map[string]bool {
	set := map[string]bool{}
	for word := range strings.FieldsSeq(words) {
		set[word] = true
	}
	return set
}

// proseLine is a line's English: the comment without its marker, or the line of a page without its code.
type proseLine struct {
	number int
	text   string
}

// place is a line with relatives.
type place struct {
	file   string
	number int
	found  []string
	who    int
}

func (p place) String() string {
	return fmt.Sprintf("%s:%d: %s", p.file, p.number, strings.Join(p.found, ", "))
}

// tally counts the words of one text: a page, all comments of a package, or those of all stories.
type tally struct {
	name      string
	words     int
	relatives int
	who       int
	places    []place
}

// An apostrophe, a dot or an underscore is within a word: an identifier, a file's name and a version are one word each.
var (
	oneWord    = regexp.MustCompile(`[\pL\pN]+(?:['’._][\pL\pN]+)*`)
	apostrophe = regexp.MustCompile(`['’].*`)
)

func (t *tally) add(file string, lines []proseLine) {
	for _, line := range lines {
		p := place{file: file, number: line.number}
		for _, word := range oneWord.FindAllString(line.text, -1) {
			t.words++
			word = apostrophe.ReplaceAllString(strings.ToLower(word), "")
			if relatives[word] {
				p.found = append(p.found, word)
			}
			if persons[word] {
				p.who++
			}
		}
		if len(p.found) > 0 {
			t.relatives += len(p.found)
			t.who += p.who
			t.places = append(t.places, p)
		}
	}
}

// rate returns the occurrences in a thousand words.
func (t *tally) rate(occurrences int) float64 {
	return 1000 * float64(occurrences) / float64(max(1, t.words))
}

func (t *tally) allowedRelatives() int { return max(freeRelatives, t.words*maxRelatives/1000) }

func (t *tally) allowedWho() int { return max(freeWho, t.words*maxWho/1000) }

// problem returns an error with the worst places of a text above a limit.
func (t *tally) problem() error {
	tooMany, tooManyWho := t.relatives > t.allowedRelatives(), t.who > t.allowedWho()
	if !tooMany && !tooManyWho {
		return nil
	}
	places := slices.Clone(t.places)
	slices.SortStableFunc(places, func(a, b place) int {
		if tooManyWho && a.who != b.who {
			return b.who - a.who
		}
		return len(b.found) - len(a.found)
	})
	var text strings.Builder
	const format = "%s: %d words have %d relatives (at most %d) and %d times \"who\" (at most %d); the worst places:"
	fmt.Fprintf(&text, format, t.name, t.words, t.relatives, t.allowedRelatives(), t.who, t.allowedWho())
	for _, p := range places[:min(maxPlaces, len(places))] {
		fmt.Fprintf(&text, "\n\t%s", p)
	}
	return errors.New(text.String())
}

// words counts relatives in the comments of each package and of the stories, and in the prose of each page. It also
// looks for long lines.
func (c *checker) words() error {
	tallies := map[string]*tally{}
	var errs []error
	err := walk(c.root, func(name string) error {
		texts, err := c.readText(name)
		if texts == nil || err != nil {
			return err
		}
		of := path.Dir(name)
		if path.Ext(name) == ".md" {
			of = name
		}
		if tallies[of] == nil {
			tallies[of] = &tally{name: of}
		}
		tallies[of].add(name, texts.prose)
		errs = append(errs, tooWide(name, texts.lines)...)
		return nil
	})
	sorted := slices.SortedFunc(maps.Values(tallies), func(a, b *tally) int {
		return strings.Compare(a.name, b.name)
	})
	for _, t := range sorted {
		errs = append(errs, t.problem())
	}
	err = errors.Join(append(errs, err)...)
	if c.verbose || err != nil {
		printRates(c.out, sorted)
	}
	return err
}

func printRates(out io.Writer, tallies []*tally) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "words\trelatives\ta thousand\twho\ta thousand\t")
	for _, t := range tallies {
		mark := ""
		if t.problem() != nil {
			mark = " (above the limit)"
		}
		fmt.Fprintf(table, "%d\t%d\t%.1f\t%d\t%.1f\t  %s%s\n",
			t.words, t.relatives, t.rate(t.relatives), t.who, t.rate(t.who), t.name, mark)
	}
	_ = table.Flush()
}
