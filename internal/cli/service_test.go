package cli

import "testing"

func TestAServiceIsStartedAsItWasInstalledOrByHand(t *testing.T) {
	installed := Service{Program: "ecluse-x", Config: "/etc/ecluse/x.yaml", Installed: "/etc/ecluse/x.yaml"}
	trial := Service{Program: "ecluse-x", Config: "/tmp/low/x.yaml", Installed: "/etc/ecluse/x.yaml"}
	for _, row := range []struct{ got, want string }{
		{installed.Start(), "systemctl start ecluse-x"},
		{installed.Stop(), "systemctl stop ecluse-x"},
		{installed.Restart(), "systemctl restart ecluse-x"},
		{trial.Start(), "ecluse-x run --config /tmp/low/x.yaml"},
		{trial.Stop(), `stop the process "ecluse-x run --config /tmp/low/x.yaml"`},
		{trial.Restart(), "stop it, then: ecluse-x run --config /tmp/low/x.yaml"},
	} {
		if row.got != row.want {
			t.Errorf("%q, want %q", row.got, row.want)
		}
	}
}
