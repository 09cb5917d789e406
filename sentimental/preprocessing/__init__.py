"""What preprocess.py alone needs: which recordings there are, and what they are."""
