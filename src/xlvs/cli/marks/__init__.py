# SPDX-License-Identifier: Apache-2.0
"""Mark rules as operators write them: in words of ours, of iptables-save, of nft."""
