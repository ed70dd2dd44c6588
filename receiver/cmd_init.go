package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"ecluse/internal/cli"
	"ecluse/internal/config"
	"ecluse/internal/disk"
	"ecluse/internal/keys"
	"ecluse/protocol/bundle"
	"ecluse/receiver/release"
)

// initFlags are what init is told.
type initFlags struct {
	dir, name, release, officer string
	listen                      config.AddrPort
}

func initCommand() *cobra.Command {
	var f initFlags
	c := &cobra.Command{
		Use: "init --dir DIR --listen ADDR [flags]", Short: "Lay out a complete receiver below a directory", Args: cobra.NoArgs,
		Long: `Lay out a complete receiver below a directory: keys, configuration, allowed_signers, an import directory for one tenant named default, and
receiver.pair, the card to carry to the low side; and an officer's key, with which approve and reject sign: for a try-out, as officers have keys of their own (officer add). A directory that
holds keys is refused.`,
		Example: `  ecluse-receiver init --dir /etc/ecluse/high --listen 10.77.0.2:4600
  ecluse-receiver init --dir ./high --listen 127.0.0.1:4600 --release automatic`,
		RunE: func(c *cobra.Command, _ []string) error { return initReceiver(c, f) },
	}
	c.Flags().StringVar(&f.dir, "dir", "", "the `DIR` to make (required)")
	c.Flags().Var(&f.listen, "listen", "address and port on the diode's interface (required)")
	c.Flags().StringVar(&f.release, "release", release.ModeOne.String(), "who releases: automatic, one or two")
	c.Flags().StringVar(&f.name, "name", cli.HostName("receiver"), "what the low side calls this receiver")
	c.Flags().StringVar(&f.officer, "officer", officerName(), "who decides: the `NAME` of the officer whose key is made")
	_ = c.MarkFlagRequired("dir")
	_ = c.MarkFlagRequired("listen")
	_ = c.MarkFlagDirname("dir")
	_ = c.RegisterFlagCompletionFunc("release", cobra.FixedCompletions([]string{"automatic", "one", "two"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func initReceiver(c *cobra.Command, f initFlags) error {
	name, err := bundle.ParseName(f.name)
	if err != nil {
		return &cli.Error{Code: cli.Usage, Err: err, Hint: "--name NAME"}
	}
	if _, err := release.ParseMode(f.release); err != nil {
		return &cli.Error{Code: cli.Usage, Err: err}
	}
	if err := keys.CheckPerson(f.officer); err != nil {
		return &cli.Error{Code: cli.Usage, Err: err, Hint: "--officer NAME"}
	}
	if f.dir == "" {
		return cli.Fail(cli.Usage, "--dir is empty")
	}
	dir, err := filepath.Abs(f.dir)
	if err != nil {
		return err
	}
	path := func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
	text := strings.NewReplacer("{name}", config.Scalar(string(name)), "{state}", config.Scalar(path("state")), "{identity}", config.Scalar(path("receiver.key")),
		"{signers}", config.Scalar(path("allowed_signers")), "{officers}", config.Scalar(path("officers")), "{officer}", config.Scalar(path("officer_ed25519")), "{import}", config.Scalar(path("import", "default")), "{listen}", config.Scalar(f.listen.String()),
		"{release}", f.release).Replace(initialConfig)
	if _, err := config.Parse(path("receiver.yaml"), []byte(text), defaults()); err != nil { // before anything is made
		return &cli.Error{Code: cli.Usage, Err: err}
	}
	if err := cli.RefuseUsed(dir, "receiver.key", "receiver.yaml", "receiver.pair", "allowed_signers", "officers", "officer_ed25519", "officer_ed25519.pub"); err != nil {
		return err
	}
	if err := cli.StateDir(path("state")); err != nil {
		return err
	}
	if err := os.MkdirAll(path("import", "default"), 0o750); err != nil {
		return fmt.Errorf("lay out %s: %w", dir, err)
	}
	pair, err := makeCard(path("receiver.key"), path("receiver.pair"), name)
	if err != nil {
		return err
	}
	d := disk.New()
	if err := d.Replace(path("allowed_signers"), []byte(signersHead)); err != nil {
		return err
	}
	if err := d.Replace(path("receiver.yaml"), []byte(text)); err != nil {
		return err
	}
	if err := makeOfficer(d, path("officer_ed25519"), path("officers"), f.officer); err != nil {
		return err
	}
	for file, mode := range map[string]os.FileMode{"allowed_signers": 0o644, "officers": 0o644, "receiver.yaml": 0o640} {
		if err := os.Chmod(path(file), mode); err != nil {
			return err
		}
	}
	fmt.Fprintf(c.OutOrStdout(), "%s\n%s\n", path("receiver.pair"), pair.Fingerprint())
	fmt.Fprintf(c.ErrOrStderr(), `The receiver %s stands in %s. Next:
  1. carry receiver.pair to the low side, and read its fingerprint over the telephone:
       ecluse-sender pair --config DIR/sender.yaml receiver.pair
  2. bring sender.pair here:  ecluse-receiver pair --config %s sender.pair
  3. ecluse-receiver run --config %s
`, name, dir, path("receiver.yaml"), path("receiver.yaml"))
	return nil
}

// makeCard makes the receiver's key, and the card that is carried to the low side.
func makeCard(keyPath, pairPath string, name bundle.Name) (*keys.Pair, error) {
	key, err := keys.GenerateReceiverKey(keyPath)
	if err != nil {
		return nil, err
	}
	public, err := keys.ParseReceiverPublic(key.Public())
	if err != nil {
		return nil, err
	}
	pair, err := keys.NewReceiverPair(name, public)
	if err != nil {
		return nil, err
	}
	return pair, keys.WritePair(pairPath, pair)
}

// makeOfficer makes an officer's key, and the file of officers with her alone.
func makeOfficer(d *disk.Disk, keyPath, officers, name string) error {
	key, err := keys.GenerateIdentity(keyPath, name)
	if err != nil {
		return err
	}
	if err := d.Replace(officers, []byte(officersHead)); err != nil {
		return err
	}
	_, err = keys.AppendPerson(officers, name, bundle.NamespaceRelease, key, name)
	return err
}

const signersHead = `# Who may sign: OpenSSH's allowed_signers (ssh-keygen(1)). ecluse-receiver pair adds a line; a valid-before ends a key, removing its line revokes it.
`

const officersHead = `# Who decides: OpenSSH's allowed_signers (ssh-keygen(1)), one person a line. ecluse-receiver officer add NAME KEY.pub adds one; removing her line takes her say away.
`

const initialConfig = `# Ecluse, high side. All keys and their meaning: configs/receiver.yaml, or README.md.
name: {name}
state: {state}
identity: {identity}
allowed_signers: {signers}
officers: {officers}
officer_key: {officer}
links:
  - name: a
    listen: {listen}
senders: []
tenants:
  - name: default
    release: {release}
    deliver:
      - directory: {import}
`

// officerName is what the officer is called where nobody says: who runs the command, if that can be a person's name.
func officerName() string {
	for _, name := range []string{os.Getenv("SUDO_USER"), cli.UserName()} {
		if keys.CheckPerson(name) == nil {
			return name
		}
	}
	return "officer"
}
