package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"ecluse/internal/cli"
	"ecluse/internal/keys"
	"ecluse/protocol/bundle"
)

func officerCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "officer COMMAND", Short: "Enrol and list the people who decide",
		Long: `Enrol and list the people whose signatures release and reject bundles. They stand in the file that officers: of the configuration names, in OpenSSH's format of allowed_signers, one key a
line; edit it to take one out, or to limit her time. A person may have several keys, and no key is two persons'.`,
		Example: `  ecluse-receiver officer add alice alice.pub
  ecluse-receiver officer list`,
	}
	var path string
	var asJSON bool
	c.PersistentFlags().StringVar(&path, "config", defaultPath, "configuration `FILE`")
	_ = c.MarkPersistentFlagFilename("config", "yaml")
	c.PersistentFlags().BoolVar(&asJSON, "json", false, "print one JSON value")
	c.AddCommand(officerAddCommand(&path, &asJSON), officerListCommand(&path, &asJSON))
	return c
}

// officer is one person who decides.
type officer struct {
	Name string   `json:"name"`
	Keys []string `json:"keys"` // their fingerprints
}

// officersFile is the file of people that a configuration names.
func officersFile(path string) (string, error) {
	conf, err := load(path)
	if err == nil && conf.Officers == "" {
		err = &cli.Error{Code: cli.Usage, Err: fmt.Errorf("%s names no file of officers: decisions are no signatures there", path), Hint: "add a line such as: officers: /etc/ecluse/officers"}
	}
	return conf.Officers, err
}

func officerAddCommand(path *string, asJSON *bool) *cobra.Command {
	return &cobra.Command{
		Use: "add [flags] NAME KEY.pub", Short: "Enrol a person's public key", Args: cobra.ExactArgs(2),
		Long: `Enrol a person's public key: she may release and reject from then on, with that key. A running daemon takes it up by itself. What stands in the file already is left as it is.`,
		RunE: func(c *cobra.Command, args []string) error {
			file, err := officersFile(*path)
			if err != nil {
				return err
			}
			key, comment, err := keys.ReadPublicKey(args[1])
			if err != nil {
				return &cli.Error{Code: cli.Usage, Err: err}
			}
			if err := keys.CheckPerson(args[0]); err != nil {
				return &cli.Error{Code: cli.Usage, Err: err}
			}
			changed, err := keys.AppendPerson(file, args[0], bundle.NamespaceRelease, key, comment)
			if err != nil {
				return err
			}
			if *asJSON {
				return cli.PrintJSON(c.OutOrStdout(), officer{args[0], []string{keys.Fingerprint(key)}})
			}
			note := ""
			if !changed {
				note = "  (stood there already)"
			}
			fmt.Fprintf(c.OutOrStdout(), "%s  %s%s\n", args[0], keys.Fingerprint(key), note)
			return nil
		},
	}
}

func officerListCommand(path *string, asJSON *bool) *cobra.Command {
	return &cobra.Command{
		Use: "list [flags]", Short: "List who decides", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			file, err := officersFile(*path)
			if err != nil {
				return err
			}
			people, err := keys.LoadPeople(file)
			if err != nil {
				return &cli.Error{Code: cli.Usage, Err: err}
			}
			all := []officer{}
			for _, name := range people.Names() {
				all = append(all, officer{name, people.Fingerprints(name)})
			}
			if *asJSON {
				return cli.PrintJSON(c.OutOrStdout(), all)
			}
			printOfficers(c.OutOrStdout(), all)
			return nil
		},
	}
}

func printOfficers(w io.Writer, all []officer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, o := range all {
		for _, k := range o.Keys {
			fmt.Fprintf(t, "%s\t%s\n", o.Name, k)
		}
	}
	_ = t.Flush()
}
