"""A board as a static site: the leaderboard, a page for each model and task, and pictures of their mistakes."""
