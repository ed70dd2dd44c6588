package surface

import (
	"database/sql"
	"testing"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// twin adds a row to a catalog at rest: a bundle whose first characters are those of another, as chance makes once in a billion.
func twin(t *testing.T, path, id string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	letter := "a"
	if id[10] == 'a' {
		letter = "b"
	}
	for _, statement := range []string{
		`CREATE TEMP TABLE twin AS SELECT * FROM bundles WHERE bundle = '` + id + `'`,
		`UPDATE twin SET bundle = '` + id[:10] + letter + id[11:] + `'`,
		`INSERT INTO main.bundles SELECT * FROM twin`,
	} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}
