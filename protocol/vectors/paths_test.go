package vectors_test

import (
	"errors"
	"slices"
	"testing"

	"ecluse/protocol/bundle"
)

type pathInput struct {
	Kind, Path, Hex, Policy, Name string
	Files, Dirs                   []string
}

// tableOf makes the table of a bundle's paths, through the doors that a sender uses.
func tableOf(t *testing.T, files, dirs []string) *bundle.Table {
	t.Helper()
	table := &bundle.Table{}
	for _, p := range dirs {
		path, err := bundle.ParsePath(p)
		if err = errors.Join(err, table.AddDir(path, 0700, 0)); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range files {
		path, err := bundle.ParsePath(p)
		if _, add := table.AddFile(path, 0, 0600, 0); errors.Join(err, add) != nil {
			t.Fatal(err, add)
		}
	}
	return table
}

func TestPathsOfSection9(t *testing.T) {
	each(t, "paths", func(t *testing.T, v vector, in pathInput) {
		switch in.Kind {
		case "path":
			p, err := bundle.ParsePath(in.Path + string(unhex(t, in.Hex)))
			if want := []string(nil); judged(t, v, err) {
				if want = values[struct{ Components []string }](t, v).Components; !slices.Equal(p.Components(), want) || p.String() != in.Path {
					t.Errorf("components %q, should be %q", p.Components(), want)
				}
			}
		case "table":
			policy, err := bundle.ParseNamePolicy(in.Policy)
			if err != nil {
				t.Fatal(err)
			}
			judged(t, v, tableOf(t, in.Files, in.Dirs).Check(policy, in.Name))
		case "order":
			got, want := slices.Clone(in.Files), values[struct{ Files []string }](t, v).Files
			slices.SortFunc(got, func(a, b string) int { return bundle.Compare(bundle.Path(a), bundle.Path(b)) })
			if !slices.Equal(got, want) {
				t.Errorf("order %q, should be %q", got, want)
			}
		default:
			t.Fatalf("no kind: %q", in.Kind)
		}
	})
}
