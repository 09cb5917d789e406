"""What train_model.py alone needs: data, network, fit, protocols, figures."""
