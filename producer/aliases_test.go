package producer

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAliasesShowTheirFieldsAndMethods compares the code in the comment of each alias with the aliased type: `go doc`
// shows only the comment of an alias.
func TestAliasesShowTheirFieldsAndMethods(t *testing.T) {
	aliases := 0
	for _, file := range parseFolder(t, ".") {
		for _, decl := range file.Decls {
			group, is := decl.(*ast.GenDecl)
			if !is || group.Tok != token.TYPE {
				continue
			}
			spec := group.Specs[0].(*ast.TypeSpec)
			other, is := spec.Type.(*ast.SelectorExpr)
			if !spec.Assign.IsValid() || !spec.Name.IsExported() || !is {
				continue
			}
			aliases++
			require.Len(t, group.Specs, 1, "%s: go doc shows an alias of its own best", spec.Name.Name)
			shown, want := declared(t, spec.Name.Name, codeOf(group.Doc)), aliased(t, other)
			for i := range want {
				want[i] = strings.ReplaceAll(want[i], other.Sel.Name+")", spec.Name.Name+")") // the receiver
			}
			require.Equal(t, want, shown, "the code in the comment of %s", spec.Name.Name)
		}
	}
	require.Equal(t, 9, aliases)
}

func parseFolder(t *testing.T, folder string) (files []*ast.File) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.go"))
	require.NoError(t, err)
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		require.NoError(t, err)
		files = append(files, file)
	}
	require.NotEmpty(t, files)
	return files
}

// codeOf returns the code in a comment.
func codeOf(doc *ast.CommentGroup) (code string) {
	for line := range strings.Lines(doc.Text()) {
		if text, is := strings.CutPrefix(line, "\t"); is {
			code += text
		}
	}
	return code
}

// declared returns the fields and the methods of a type in some code, one line each.
func declared(t *testing.T, name, code string) []string {
	file, err := parser.ParseFile(token.NewFileSet(), "comment", "package p\n"+code, 0)
	require.NoError(t, err, "the comment of %s:\n%s", name, code)
	return members(t, name, file)
}

// aliased returns the exported fields and methods of a type of this module.
func aliased(t *testing.T, other *ast.SelectorExpr) []string {
	return members(t, other.Sel.Name, parseFolder(t, filepath.Join("..", other.X.(*ast.Ident).Name))...)
}

// members returns the exported fields and methods of a type: the fields in their order, then the methods by name.
func members(t *testing.T, name string, files ...*ast.File) (fields []string) {
	methods := map[string]string{}
	text := func(node any) string {
		var b bytes.Buffer
		require.NoError(t, printer.Fprint(&b, token.NewFileSet(), node))
		return b.String()
	}
	for _, file := range files {
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					one, is := spec.(*ast.TypeSpec)
					if !is || one.Name.Name != name {
						continue
					}
					if fieldsOf, is := one.Type.(*ast.StructType); is {
						for _, f := range fieldsOf.Fields.List {
							for _, n := range f.Names {
								if n.IsExported() {
									fields = append(fields, n.Name+" "+text(f.Type))
								}
							}
						}
					}
				}
			case *ast.FuncDecl:
				if d.Recv == nil || !d.Name.IsExported() {
					continue
				}
				if receiver := text(d.Recv.List[0].Type); strings.TrimPrefix(receiver, "*") == name {
					methods[d.Name.Name] = "func (" + receiver + ") " + d.Name.Name +
						strings.TrimPrefix(text(d.Type), "func")
				}
			}
		}
	}
	for _, n := range slices.Sorted(maps.Keys(methods)) {
		fields = append(fields, methods[n])
	}
	return fields
}
