package cli

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestACatalogThatCannotBeReadIsNoEmptyOne(t *testing.T) {
	r := Reader{State: t.TempDir(), Service: Service{Program: "ecluse-sender"}}
	read := func(*sql.DB) error {
		t.Error("something was read")
		return nil
	}
	if err := r.AtRest(read); err != nil {
		t.Errorf("where there is none yet: %v", err)
	}
	path := filepath.Join(r.State, "catalog.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("no database ", 400)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.AtRest(read); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("where it is damaged: %v", err)
	}
}
