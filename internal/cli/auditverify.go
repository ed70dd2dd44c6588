package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"ecluse/internal/audit"
	"ecluse/internal/disk"
)

// auditFlags are what audit verify is told.
type auditFlags struct {
	path, checkpoint, key, proof, dir string
	json                              bool
}

func (h House) auditVerify() *cobra.Command {
	var f auditFlags
	c := &cobra.Command{
		Use: "verify [flags]", Short: "Check the whole log, or a proof", Args: cobra.NoArgs,
		Long: `Check the whole log: every line, its number, the tree, the signature of the newest checkpoint, and the records beside it against what the log last said of them. With
--checkpoint also that it goes on from one that was kept elsewhere: what was cut off at the end shows by nothing else. With --proof it reads no state: it checks a proof that
audit prove has printed, by the key alone; with --dir what audit export has copied, without its records, by --key or --checkpoint,
and else, with a note, by no more than the copy's own key. Exit code 4 where something does not hold.`,
		Example: fmt.Sprintf("  %s audit verify --checkpoint /mnt/elsewhere/checkpoint\n  %[1]s audit verify --proof proof.json --key audit.pub", h.Program),
		RunE: func(c *cobra.Command, _ []string) error {
			if f.proof != "" && f.dir != "" {
				return Fail(Usage, "--proof and --dir: one of them")
			}
			if f.proof != "" {
				return h.auditVerifyProof(c, f)
			}
			return h.auditVerifyLog(c, f)
		},
	}
	ConfigFlag(c, &f.path, h.Default)
	JSONFlag(c, &f.json)
	c.Flags().StringVar(&f.checkpoint, "checkpoint", "", "hold it against the checkpoint in this `FILE`, or the line of a log that has one")
	c.Flags().StringVar(&f.key, "key", "", "trust this key instead of the one beside the log: its text, or a `FILE`")
	c.Flags().StringVar(&f.proof, "proof", "", "check the proof in this `FILE`, and no log")
	c.Flags().StringVar(&f.dir, "dir", "", "check the log in this `DIR`, where audit export has copied it, and no state")
	return c
}

// keyOf is a key, or what stands in the file that is named.
func keyOf(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	if _, err := audit.ParseKey(text); err == nil {
		return text, nil
	}
	if _, err := os.Stat(text); errors.Is(err, fs.ErrNotExist) {
		return "", Fail(Usage, "--key: %q is neither a key nor a file with one", text)
	}
	read, err := readSmall(text)
	if err != nil {
		return "", err
	}
	if _, err := audit.ParseKey(read); err != nil {
		return "", &Error{Code: Usage, Err: fmt.Errorf("%s: %w", text, err)}
	}
	return strings.TrimSpace(read), nil
}

func (h House) auditVerifyLog(c *cobra.Command, f auditFlags) error {
	var err error
	in := auditRequest{What: "verify"}
	if in.Key, err = keyOf(f.key); err != nil {
		return err
	}
	if in.Checkpoint, err = readSmall(f.checkpoint); err != nil {
		return err
	}
	r, err := h.auditReport(c, f, in)
	if err != nil {
		return err
	}
	if f.json {
		err = PrintJSON(c.OutOrStdout(), r)
	} else {
		printAuditReport(c, r)
	}
	if err == nil && len(r.Faults) > 0 {
		return Fail(Refused, "the audit log does not hold: %s", r.Faults[0].Text)
	}
	return err
}

// ownKey is what is told where a copy was held against nothing from elsewhere.
const ownKey = "only the copy's own key was used: whoever has made up the copy may have made up that too (--key or --checkpoint say which log is meant)"

// auditReport looks through the log that is meant.
func (h House) auditReport(c *cobra.Command, f auditFlags, in auditRequest) (*audit.Report, error) {
	if f.dir != "" {
		var kept []byte
		if in.Checkpoint != "" {
			kept = audit.Unline([]byte(in.Checkpoint))
		}
		r, err := audit.Verify(audit.Reader{Disk: disk.New(), Dir: f.dir}, kept, in.Key, nil)
		if err == nil && r.OwnKey {
			r.Notes = append(r.Notes, ownKey)
		}
		return r, err
	}
	site, err := h.Load(f.path)
	if err != nil {
		return nil, err
	}
	out, err := site.askAudit(c.Context(), in)
	if err != nil {
		return nil, err
	}
	return out.Report, nil
}

func printAuditReport(c *cobra.Command, r *audit.Report) {
	w := c.OutOrStdout()
	for _, f := range r.Faults {
		fmt.Fprintf(w, "FAULT: %s\n", Clean(f.Text))
	}
	for _, n := range r.Notes {
		fmt.Fprintf(w, "note: %s\n", Clean(n))
	}
	if len(r.Faults) == 0 {
		fmt.Fprintf(w, "%d entries hold, %d of them are signed; %d records agree with them\nroot  %s\nkey   %s\n", r.Entries, r.Signed, r.Records, r.Root, r.Key)
	}
}

func (h House) auditVerifyProof(c *cobra.Command, f auditFlags) error {
	text, err := readSmall(f.proof)
	if err != nil {
		return err
	}
	key, err := keyOf(f.key)
	if err != nil {
		return err
	}
	if key == "" {
		site, err := h.Load(f.path)
		if err != nil {
			return err
		}
		out, err := site.askAudit(c.Context(), auditRequest{What: "key"})
		if err != nil {
			return err
		}
		key = out.Text
	}
	verifier, err := audit.ParseKey(key)
	if err != nil {
		return err
	}
	var p audit.Proof
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return Fail(Refused, "%s is no proof: %v", f.proof, err)
	}
	if f.checkpoint != "" {
		kept, err := readSmall(f.checkpoint)
		if err != nil {
			return err
		}
		if string(audit.Unline([]byte(kept))) != p.Checkpoint {
			return Fail(Refused, "the proof is against another checkpoint than the one in %s (audit prove --checkpoint makes one)", f.checkpoint)
		}
	}
	e, err := p.Check(verifier)
	if err != nil {
		return &Error{Code: Refused, Err: err}
	}
	if f.json {
		return PrintJSON(c.OutOrStdout(), e)
	}
	fmt.Fprintf(c.OutOrStdout(), "the entry is in the log of %s, among its first %d:\n", verifier.Name(), p.Size)
	printEntry(c.OutOrStdout(), e)
	return nil
}
