// Package statechart reads the state charts in the doc comments of Go types, so that tests can compare them with the
// code. It is for tests only.
//
// A chart is an indented block. A column is a state, an arrow is a transition with its method, and @ is a method that
// keeps the state. Text to the right of the last column is a remark:
//
//	closed            open
//	  |                 |
//	  |----- Open ----->|    waits for the handshake
//	  |<---- Close -----|
//	  @ Close           @ Write
package statechart

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strings"
)

// Transition is one arrow of a chart.
type Transition struct{ From, Method, To string }

// OfType returns the transitions of all charts in the doc comment of a type in a Go file.
func OfType(file, name string) ([]Transition, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	for _, decl := range parsed.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.TYPE {
			continue
		}
		for _, spec := range group.Specs {
			if spec.(*ast.TypeSpec).Name.Name == name {
				return Parse(group.Doc.Text())
			}
		}
	}
	return nil, fmt.Errorf("%s declares no type %s", file, name)
}

// Parse returns the transitions of all charts in the text of a doc comment, in their order.
func Parse(text string) (all []Transition, err error) {
	var c *chart
	for line := range strings.SplitSeq(text, "\n") {
		row, inside := strings.CutPrefix(line, "\t")
		switch {
		case !inside:
			c = nil
		case c == nil:
			c = &chart{states: strings.Fields(row)}
		case c.columns == nil:
			err = c.setColumns(row)
		default:
			var found []Transition
			found, err = c.transitions(row)
			all = append(all, found...)
		}
		if err != nil {
			return nil, fmt.Errorf("%w in the row %q", err, row)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("there is no chart")
	}
	for i, one := range all {
		if slices.Contains(all[:i], one) {
			return nil, fmt.Errorf("%v is there twice", one)
		}
	}
	return all, nil
}

// chart is the head of one chart.
type chart struct {
	states  []string
	columns []int // the place of each state's column in a row
}

func (c *chart) setColumns(row string) error {
	for at, char := range row {
		if char == '|' {
			c.columns = append(c.columns, at)
		}
	}
	if len(c.columns) != len(c.states) {
		return fmt.Errorf("%d columns for %d states", len(c.columns), len(c.states))
	}
	return nil
}

var (
	arrow = regexp.MustCompile(`^\|(<?)-+ (\w+) -+(>?)\|`)
	stay  = regexp.MustCompile(`^@ (\w+)`)
)

// transitions returns what one row shows.
func (c *chart) transitions(row string) (found []Transition, err error) {
	for at := 0; at < len(row) && at <= c.columns[len(c.columns)-1]; {
		if row[at] == ' ' {
			at++
			continue
		}
		column := slices.Index(c.columns, at)
		if column < 0 {
			return nil, fmt.Errorf("%q is in no column", row[at])
		}
		if m := stay.FindStringSubmatch(row[at:]); m != nil {
			found = append(found, Transition{c.states[column], m[1], c.states[column]})
			at += len(m[0])
			continue
		}
		m := arrow.FindStringSubmatch(row[at:])
		if m == nil {
			if row[at] != '|' {
				return nil, fmt.Errorf("%q is neither an arrow nor a method that keeps the state", row[at:])
			}
			at++
			continue
		}
		at += len(m[0]) - 1 // the last column of an arrow may be the first one of the next arrow
		other := slices.Index(c.columns, at)
		if other < 0 || (m[1] == "") == (m[3] == "") {
			return nil, fmt.Errorf("%q leads from no column to another one", m[0])
		}
		if m[1] != "" {
			column, other = other, column
		}
		found = append(found, Transition{c.states[column], m[2], c.states[other]})
	}
	return found, nil
}
