# SPDX-License-Identifier: LGPL-2.1-or-later
"""Helpers under drgn's names."""
